/** Acknowledgements that leave together, and the place in line they hold. */
interface Slot {
  /** Of the publish that took the place, and of those behind it that need nothing but its going first. */
  readonly packetIds: number[];
  /** Things of ours that are not done yet. */
  open: number;
  /** The broker is still to acknowledge the first one. */
  atBroker: boolean;
  readonly commit: Promise<void> | undefined;
}

/** Acknowledgements of one kind towards one client, written in the order of their publishes, whoever makes them:
 *  ours at once, ours after a commit, the broker's when it gets to it [MQTT-4.6.0-2] [MQTT-4.6.0-3].
 *
 *  ```
 *  written │ 7 8 │ 9 (commit) 10 11 │ 12 (broker, 2 copies) │ 13 14 (commit)
 *          └done └──────────── slots, of which none may pass another ───────
 *  ```
 *  Done ids gather and leave with `flush`, so that a run of publishes is answered by one write; puts in a row that wait
 *  for one commit share a slot, and cost no more than their ids. */
export class AckOrder {
  readonly #write: (packetIds: readonly number[]) => void;
  #slots: Slot[] = [];
  #head = 0;
  /** No slot before this one waits for the broker. */
  #atBroker = 0;
  #waiting = 0;
  #done: number[] = [];

  /** @param write Gets the ids whose turn has come, in order. */
  constructor(write: (packetIds: readonly number[]) => void) {
    this.#write = write;
  }

  /** Acknowledgements that wait for something. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Ours, and settled already. */
  done(packetId: number): void {
    const last = this.#last();
    if (last) this.#join(last, packetId);
    else this.#done.push(packetId);
  }

  /** Ours, settled with a commit that others may share.
   *  @param failed Told if the commit fails: once for a run of puts; none of them is acknowledged then */
  committed(packetId: number, commit: Promise<void>, failed: (error: Error) => void): void {
    const last = this.#last();
    if (last?.commit === commit) {
      this.#join(last, packetId);
      return;
    }
    const slot = this.#push({ packetIds: [packetId], open: 1, atBroker: false, commit });
    commit.then(() => this.#close(slot), failed);
  }

  /** Ours, settled later: call what is returned, once. */
  later(packetId: number): () => void {
    const slot = this.#push({ packetIds: [packetId], open: 1, atBroker: false, commit: undefined });
    return () => this.#close(slot);
  }

  /** The broker will acknowledge this one; `brokerDone` tells when.
   *  @param also Things of ours that must be done as well before it may pass: call what is returned for each */
  expect(packetId: number, also = 0): () => void {
    const slot = this.#push({ packetIds: [packetId], open: also, atBroker: true, commit: undefined });
    return () => this.#close(slot);
  }

  /** The broker acknowledged. Without a slot for it (a session resumed elsewhere) it goes out as it is. */
  brokerDone(packetId: number): void {
    const slot = this.#waitingFor(packetId);
    if (slot) slot.atBroker = false;
    else this.#done.push(packetId);
    this.flush();
  }

  /** Writes all acknowledgements whose turn has come. */
  flush(): void {
    for (let slot = this.#slots[this.#head]; slot?.open === 0 && !slot.atBroker; slot = this.#slots[++this.#head]) {
      for (const packetId of slot.packetIds) this.#done.push(packetId);
      this.#waiting -= slot.packetIds.length;
    }
    this.#forgetWritten();
    if (this.#done.length === 0) return;
    const due = this.#done;
    this.#done = [];
    this.#write(due);
  }

  #last(): Slot | undefined {
    return this.#head < this.#slots.length ? this.#slots.at(-1) : undefined;
  }

  #push(slot: Slot): Slot {
    this.#slots.push(slot);
    this.#waiting += 1;
    return slot;
  }

  #join(slot: Slot, packetId: number): void {
    slot.packetIds.push(packetId);
    this.#waiting += 1;
  }

  #close(slot: Slot): void {
    slot.open -= 1;
    this.flush();
  }

  /** The broker answers about in order: what it has answered is not looked at again. */
  #waitingFor(packetId: number): Slot | undefined {
    while (this.#slots[this.#atBroker]?.atBroker === false) this.#atBroker += 1;
    for (let at = this.#atBroker; at < this.#slots.length; at++) {
      const slot = this.#slots[at];
      if (slot?.atBroker && slot.packetIds[0] === packetId) return slot;
    }
    return undefined;
  }

  #forgetWritten(): void {
    if (this.#head === this.#slots.length) {
      this.#slots.length = 0;
      this.#head = 0;
      this.#atBroker = 0;
    } else if (this.#head > 512) {
      this.#slots.splice(0, this.#head);
      this.#atBroker = Math.max(0, this.#atBroker - this.#head);
      this.#head = 0;
    }
  }
}

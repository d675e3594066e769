/** One acknowledgement that is owed, and the place in line it holds. */
interface Slot {
  readonly packetId: number;
  done: boolean;
}

/** Acknowledgements of one kind towards one client, written in the order of their publishes, whoever makes them:
 *  ours at once, ours after a commit, the broker's when it gets to it [MQTT-4.6.0-2] [MQTT-4.6.0-3].
 *
 *  Done ids gather and leave with `flush`, so that a run of publishes is answered by one write. */
export class AckOrder {
  readonly #write: (packetIds: readonly number[]) => void;
  #slots: Slot[] = [];
  #head = 0;
  #done: number[] = [];

  /** @param write Gets the ids whose turn has come, in order. */
  constructor(write: (packetIds: readonly number[]) => void) {
    this.#write = write;
  }

  /** Acknowledgements that wait for something. */
  get waiting(): number {
    return this.#slots.length - this.#head;
  }

  /** Ours, and settled already. */
  done(packetId: number): void {
    if (this.waiting === 0) this.#done.push(packetId);
    else this.#slots.push({ packetId, done: true });
  }

  /** Ours, settled later: call what is returned. */
  later(packetId: number): () => void {
    const slot: Slot = { packetId, done: false };
    this.#slots.push(slot);
    return () => {
      slot.done = true;
      this.flush();
    };
  }

  /** The broker will acknowledge this one; `brokerDone` tells when. */
  expect(packetId: number): void {
    this.#slots.push({ packetId, done: false });
  }

  /** The broker acknowledged. Without a slot for it (a session resumed elsewhere) it goes out as it is. */
  brokerDone(packetId: number): void {
    const slot = this.#waitingFor(packetId);
    if (slot) slot.done = true;
    else this.#done.push(packetId);
    this.flush();
  }

  /** Writes all acknowledgements whose turn has come. */
  flush(): void {
    for (let slot = this.#slots[this.#head]; slot?.done; slot = this.#slots[++this.#head]) {
      this.#done.push(slot.packetId);
    }
    this.#forgetWritten();
    if (this.#done.length === 0) return;
    const due = this.#done;
    this.#done = [];
    this.#write(due);
  }

  #waitingFor(packetId: number): Slot | undefined {
    for (let at = this.#head; at < this.#slots.length; at++) {
      const slot = this.#slots[at];
      if (slot && !slot.done && slot.packetId === packetId) return slot;
    }
    return undefined;
  }

  #forgetWritten(): void {
    if (this.#head === this.#slots.length) {
      this.#slots.length = 0;
      this.#head = 0;
    } else if (this.#head > 512) {
      this.#slots.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

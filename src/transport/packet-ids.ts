/** Most packet ids in flight towards one client: all of them, less room for those that are just being written. */
export const PACKET_IDS_MAX = 65_000;
const LAST_ID = 65_535;

/** A message of ours that a client with a stored session gets again when it comes back [MQTT-4.4.0-1]. */
export interface Kept {
  readonly topic: string;
  readonly payload: Uint8Array;
}

/** What a packet id towards a client is in flight for. `kept`: of ours, and outlives the connection. */
type Flow =
  | { readonly kind: 'ours'; readonly delivered: (arrived: boolean) => void; readonly kept: Kept | undefined }
  | { readonly kind: 'broker'; readonly awaits: 'puback' | 'pubrec' | 'pubcomp' };

/** What an acknowledgement from the client turned out to be. `wrong-flow`: this id is in flight, but not for that
 *  kind of answer, which no correct client sends. `unknown`: late or repeated; harmless. */
export type AckVerdict = 'ours' | 'broker' | 'unknown' | 'wrong-flow';

/** One allocator and one map of all packet ids in flight towards one client, for our own publishes and the
 *  broker's, counted from 1 [MQTT-2.3.1-4]. Lives as long as the client's session. */
export class PacketIds {
  readonly #inFlight = new Map<number, Flow>();
  /** The broker's ids of an earlier connection that were not written again since the session was resumed. */
  #resumed = new Set<number>();
  #next = 1;

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** No id is left: the client does not acknowledge. */
  get exhausted(): boolean {
    return this.#inFlight.size >= PACKET_IDS_MAX;
  }

  /** The id that the next publish gets. Look at `exhausted` first: when none is left this is one in use. */
  peek(): number {
    for (let tries = 0; tries < LAST_ID && this.#inFlight.has(this.#next); tries++) {
      this.#next = this.#next === LAST_ID ? 1 : this.#next + 1;
    }
    return this.#next;
  }

  /** The broker took the id that `peek` named, and will write it soon. */
  advance(): void {
    const taken = this.peek();
    this.#next = taken === LAST_ID ? 1 : taken + 1;
  }

  /** An id for a QoS 1 publish of ours. `delivered` is called once: PUBACK or the end of the connection.
   *  @param kept It outlives the connection, until it is acknowledged or `giveBack` */
  open(delivered: (arrived: boolean) => void, kept?: Kept): number {
    const packetId = this.peek();
    this.advance();
    this.#inFlight.set(packetId, { kind: 'ours', delivered, kept });
    return packetId;
  }

  /** What is kept, in the order in which it was sent. */
  *kept(): Generator<Kept & { readonly packetId: number }> {
    for (const [packetId, flow] of this.#inFlight) {
      if (flow.kind === 'ours' && flow.kept) yield { packetId, ...flow.kept };
    }
  }

  /** The broker writes a PUBLISH with an id. True: this id is in flight already, so the client may have the message
   *  from an earlier connection [MQTT-3.3.1-1]. */
  brokerPublished(packetId: number, qos: number): boolean {
    return this.#brokerHas(packetId, qos === 2 ? 'pubrec' : 'puback');
  }

  /** The broker writes a PUBREL: of a flow we saw, or of one that a stored session resumes. */
  brokerReleased(packetId: number): void {
    this.#brokerHas(packetId, 'pubcomp');
  }

  /** A connection goes on with the session: what the broker still has in flight it writes again, before `resumed`. */
  resuming(): void {
    this.#resumed = new Set([...this.#inFlight].filter(([, flow]) => flow.kind === 'broker').map(([id]) => id));
  }

  /** What was not written again is lost to the broker, and will never be answered: its ids are free. */
  resumed(): void {
    for (const packetId of this.#resumed) this.#inFlight.delete(packetId);
    this.#resumed.clear();
  }

  #brokerHas(packetId: number, awaits: 'puback' | 'pubrec' | 'pubcomp'): boolean {
    const before = this.#inFlight.get(packetId);
    this.#resumed.delete(packetId);
    this.#inFlight.set(packetId, { kind: 'broker', awaits });
    // Only a session that was forgotten meanwhile can make the broker use an id of ours.
    if (before?.kind === 'ours') before.delivered(false);
    return before?.kind === 'broker';
  }

  acknowledged(kind: 'puback' | 'pubrec' | 'pubcomp', packetId: number): AckVerdict {
    const flow = this.#inFlight.get(packetId);
    if (!flow) return 'unknown';
    if (flow.kind === 'ours') {
      if (kind !== 'puback') return 'wrong-flow';
      this.#inFlight.delete(packetId);
      flow.delivered(true);
      return 'ours';
    }
    // A PUBREC may come again while its PUBREL is on the way.
    const repeated = kind === 'pubrec' && flow.awaits === 'pubcomp';
    if (flow.awaits !== kind && !repeated) return 'wrong-flow';
    if (kind !== 'pubrec') this.#inFlight.delete(packetId);
    return 'broker';
  }

  /** The connection is over: what is ours and not kept did not arrive. What the broker has in flight stays with the
   *  session. */
  connectionEnded(): void {
    this.#notArrived((kept) => kept === undefined);
  }

  /** What was kept is kept no longer: it did not arrive. */
  giveBack(): void {
    this.#notArrived((kept) => kept !== undefined);
  }

  #notArrived(which: (kept: Kept | undefined) => boolean): void {
    for (const [packetId, flow] of [...this.#inFlight]) {
      if (flow.kind !== 'ours' || !which(flow.kept)) continue;
      this.#inFlight.delete(packetId);
      flow.delivered(false);
    }
  }
}

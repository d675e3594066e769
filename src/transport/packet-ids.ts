/** Most packet ids in flight towards one client: all of them, less room for those that are just being written. */
export const PACKET_IDS_MAX = 65_000;
const LAST_ID = 65_535;

/** What a packet id towards a client is in flight for. */
type Flow =
  | { readonly kind: 'reply'; readonly delivered: (arrived: boolean) => void }
  | { readonly kind: 'broker'; readonly awaits: 'puback' | 'pubrec' | 'pubcomp' };

/** What an acknowledgement from the client turned out to be. `wrong-flow`: this id is in flight, but not for that
 *  kind of answer, which no correct client sends. `unknown`: late or repeated; harmless. */
export type AckVerdict = 'ours' | 'broker' | 'unknown' | 'wrong-flow';

/** One allocator and one map of all packet ids in flight towards one client, for our own publishes and the
 *  broker's, counted from 1 [MQTT-2.3.1-4]. Lives as long as the client's session. */
export class PacketIds {
  readonly #inFlight = new Map<number, Flow>();
  #next = 1;

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** No id is left: the client does not acknowledge. */
  get exhausted(): boolean {
    return this.#inFlight.size >= PACKET_IDS_MAX;
  }

  /** The id that the next publish gets. Look at `exhausted` first. */
  peek(): number {
    while (this.#inFlight.has(this.#next)) this.#next = this.#next === LAST_ID ? 1 : this.#next + 1;
    return this.#next;
  }

  /** The broker took the id that `peek` named, and will write it soon. */
  advance(): void {
    const taken = this.peek();
    this.#next = taken === LAST_ID ? 1 : taken + 1;
  }

  /** An id for a QoS 1 publish of ours. `delivered` is called once: PUBACK or the end of the connection. */
  open(delivered: (arrived: boolean) => void): number {
    const packetId = this.peek();
    this.advance();
    this.#inFlight.set(packetId, { kind: 'reply', delivered });
    return packetId;
  }

  /** The broker writes a PUBLISH with an id. */
  brokerPublished(packetId: number, qos: number): void {
    this.#inFlight.set(packetId, { kind: 'broker', awaits: qos === 2 ? 'pubrec' : 'puback' });
  }

  /** The broker writes a PUBREL: of a flow we saw, or of one that a stored session resumes. */
  brokerReleased(packetId: number): void {
    this.#inFlight.set(packetId, { kind: 'broker', awaits: 'pubcomp' });
  }

  acknowledged(kind: 'puback' | 'pubrec' | 'pubcomp', packetId: number): AckVerdict {
    const flow = this.#inFlight.get(packetId);
    if (!flow) return 'unknown';
    if (flow.kind === 'reply') {
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

  /** The connection is over: our replies did not arrive. What the broker has in flight stays with the session. */
  connectionEnded(): void {
    for (const [packetId, flow] of [...this.#inFlight]) {
      if (flow.kind !== 'reply') continue;
      this.#inFlight.delete(packetId);
      flow.delivered(false);
    }
  }
}

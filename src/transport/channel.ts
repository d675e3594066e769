import { setMaxListeners } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { LIMITS } from '../core/limits.js';
import type { Cancel } from '../core/ports.js';
import type { WorkerKey } from '../core/worker-key.js';
import { BrokerFrames } from './broker-frames.js';
import type { ChannelEnd, ChannelHost } from './channel-host.js';
import type { ConnectInfo } from './connect-packet.js';
import { encodePublish } from './encode.js';
import { Inbound } from './inbound.js';
import { type Link, openLink } from './link.js';
import { Outbound } from './outbound.js';
import type { Kept } from './packet-ids.js';
import { newSession, type Session } from './session.js';
import { Subscriptions } from './subscriptions.js';

/** A stranger without users configured is an operator; the worker of a task has shown its token. */
export type Identity =
  | { readonly role: 'operator' }
  | ({ readonly role: 'worker'; readonly heartbeatMs: number } & WorkerKey);

/** One client's connection: a Duplex between its socket and the broker that sees whole MQTT frames.
 *
 *      socket ⇄ link ⇄ [ inbound → node | broker ]   ← readable side: what the broker reads
 *                      [ outbound ← node | broker ]  ← writable side: what the broker writes
 *
 *  Life: `connecting` until the broker sent a CONNACK, then `accepted`, then `ready` when a stored session has been
 *  restored and frames of ours may be written. */
export class Channel extends Duplex {
  readonly link: Link;
  readonly outbound: Outbound;
  readonly subscriptions = new Subscriptions();
  phase: 'connecting' | 'accepted' | 'ready' = 'connecting';
  /** Set by the first packet. */
  connect: ConnectInfo | undefined;
  session: Session = newSession();
  /** Who is at the other end, as far as it has shown. */
  identity: Identity = { role: 'operator' };
  /** Counters of messages that the broker could not keep for this session, and so must not deliver. */
  readonly missed = new Set<number>();
  /** Publishes whose acknowledgement by the broker waits until they would survive a power cut, by packet id. */
  readonly storing = new Map<number, Promise<void>>();
  /** Topics of the node that came live since the last SUBSCRIBE: what is retained of them is older by now. */
  readonly heardLive = new Set<string>();
  /** Clock time of the last byte from the peer. */
  lastSeenMs: number;
  /** Names this connection among all of this node. */
  readonly id: string;

  readonly #host: ChannelHost;
  readonly #inbound: Inbound;
  readonly #brokerFrames: BrokerFrames;
  readonly #abort = new AbortController();
  #heldBack: Array<() => void> = [];
  #end: ChannelEnd = 'closed';
  #cancelLinger: Cancel | undefined;

  constructor(id: string, stream: Duplex, request: IncomingMessage | undefined, host: ChannelHost) {
    super({ readableHighWaterMark: 65_536, writableHighWaterMark: 65_536 });
    this.#host = host;
    this.id = id;
    // Each waiting request listens; their number is bounded where they are taken.
    setMaxListeners(0, this.#abort.signal);
    this.lastSeenMs = host.clock.now();
    this.link = openLink(stream, request, {
      data: (chunk) => {
        this.lastSeenMs = host.clock.now();
        host.traffic.bytesReceived += chunk.length;
        this.#inbound.feed(chunk);
      },
      end: () => this.#inbound.end(),
      drain: () => {
        // It reads: that is a sign of life as well.
        this.lastSeenMs = host.clock.now();
        this.outbound.drained();
        this.#inbound.pump();
      },
      closed: (error) => {
        this.#cancelLinger?.();
        this.destroy(error);
      },
    });
    this.outbound = new Outbound(this.link, host.traffic, () => host.flushSoon(this));
    this.#inbound = new Inbound(this, host);
    this.#brokerFrames = new BrokerFrames(this, this.#inbound);
  }

  get clientId(): string {
    return this.connect?.clientId ?? '';
  }

  get remoteAddress(): string | undefined {
    return this.link.remoteAddress;
  }

  /** Keepalive the client asked for. Seconds, 0: none. */
  get keepaliveS(): number {
    return this.connect?.keepaliveS ?? 0;
  }

  /** We do not read from the peer now: its silence means nothing. */
  get paused(): boolean {
    return this.#inbound.paused;
  }

  /** Lets the client know that we live, where it is time for it and our not reading could look like death.
   *  @param now Clock time
   *  @returns Milliseconds until it is time again; Infinity: it is not to be */
  proveLife(now: number): number {
    return this.#inbound.proveLife(now);
  }

  /** Aborted when the connection is over. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The first packet was a good CONNECT; the broker decides next. */
  connecting({ password: _, ...connect }: ConnectInfo): void {
    // The broker judges the password from its own copy; ours would stay as long as the connection.
    this.connect = connect;
    if (connect.clean) return;
    this.session = this.#host.sessions.find(connect.clientId);
    this.session.ids.resuming();
  }

  /** The broker's CONNACK said yes. */
  accepted(): void {
    this.phase = 'accepted';
    if (!this.connect) return;
    this.#host.accepted(this);
    if (this.connect.clean) this.#host.sessions.discard(this.clientId);
    else this.#host.sessions.keep(this.clientId, this.session);
  }

  /** The broker has processed CONNECT: parsing goes on. */
  resumeAfterConnack(): void {
    if (this.phase !== 'connecting') this.#inbound.connectDone();
  }

  /** The broker has restored the session: frames of ours may be written. */
  becomeReady(): void {
    if (this.phase === 'ready' || this.destroyed) return;
    this.phase = 'ready';
    this.session.ids.resumed();
    for (const kept of this.session.ids.kept()) {
      this.outbound.send(encodePublish({ ...kept, qos: 1, retain: false, dup: true }));
    }
    this.#writeHeldBack();
    this.#host.ready(this);
  }

  /** Writes a publish of ours to this client alone, at QoS 0 or 1.
   *  @param delivered Called once: at the PUBACK, at QoS 0 once the socket took it, or false when the connection
   *  ended first. */
  publish(topic: string, payload: Uint8Array, qos: 0 | 1, delivered: (arrived: boolean) => void): void {
    this.#publish({ topic, payload }, qos, delivered, false);
  }

  /** As `publish`, but at QoS 1 it outlives the connection: the next one of the session writes it again, and `delivered`
   *  is called at a later PUBACK, or by `session.ids.giveBack`. The bytes must stay good. */
  hand(topic: string, payload: Uint8Array, qos: 0 | 1, delivered: (arrived: boolean) => void): void {
    this.#publish({ topic, payload }, qos, delivered, true);
  }

  #publish(message: Kept, qos: 0 | 1, delivered: (arrived: boolean) => void, isKept: boolean): void {
    const { topic, payload } = message;
    if (this.destroyed) {
      delivered(false);
    } else if (this.phase !== 'ready') {
      this.#heldBack.push(() => this.#publish(message, qos, delivered, isKept));
    } else if (qos === 1) {
      if (this.session.ids.exhausted) {
        delivered(false);
        this.destroy(new Error('the client acknowledges nothing: no packet id is left'));
        return;
      }
      const packetId = this.session.ids.open(delivered, isKept ? message : undefined);
      this.outbound.send(encodePublish({ topic, payload, qos, retain: false, dup: false, packetId }));
    } else {
      this.outbound.send(encodePublish({ topic, payload, qos, retain: false, dup: false, packetId: 0 }));
      this.outbound.flush();
      this.outbound.whenRoom(() => delivered(!this.destroyed));
    }
  }

  /** Refuses the CONNECT and closes [MQTT-3.2.2-5]. */
  refuse(connack: Buffer): void {
    this.outbound.send(connack);
    this.outbound.flush();
    this.link.end();
    // A peer that neither reads nor closes must not keep the socket.
    this.once(
      'close',
      this.#host.clock.after(LIMITS.refusalLingerMs, () => this.close('ours')),
    );
  }

  /** The client said DISCONNECT. */
  disconnecting(): void {
    this.#end = 'disconnect';
  }

  close(how: 'silent' | 'ours', reason?: string): void {
    if (this.destroyed) return;
    this.#end = how;
    this.destroy(reason === undefined ? undefined : new Error(reason));
  }

  override _read(): void {
    this.#inbound.brokerWantsMore();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#brokerFrames.take(chunk);
    this.outbound.whenRoom(done);
  }

  override _writev(chunks: Array<{ chunk: Buffer }>, done: (error?: Error | null) => void): void {
    this.#brokerFrames.take(Buffer.concat(chunks.map(({ chunk }) => chunk)));
    this.outbound.whenRoom(done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.outbound.flush();
    this.link.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inbound.publishes.end();
    this.outbound.flush();
    this.outbound.release();
    // Until it is accepted, a connection only looks at a session that may be somebody's.
    if (this.phase !== 'connecting') {
      this.session.ids.connectionEnded();
      if (this.connect?.clean === false) this.#host.sessions.ended(this.clientId);
    }
    this.#writeHeldBack();
    this.#abort.abort();
    this.#closeLink();
    this.#host.ended(this, this.#end);
    done(error);
  }

  #writeHeldBack(): void {
    const held = this.#heldBack;
    this.#heldBack = [];
    for (const write of held) write();
  }

  /** What was written still goes out, for a while: the reason of an end is often its last packet. */
  #closeLink(): void {
    if (this.#end === 'silent' || !this.link.isWriting) {
      this.link.destroy();
      return;
    }
    this.link.end();
    this.#cancelLinger = this.#host.clock.after(LIMITS.refusalLingerMs, () => this.link.destroy());
  }
}

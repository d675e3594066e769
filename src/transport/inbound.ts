import { LIMITS } from '../core/limits.js';
import type { Channel } from './channel.js';
import type { ChannelHost } from './channel-host.js';
import { readConnect } from './connect-packet.js';
import {
  ACK_HEADER,
  encodeAcks,
  encodeSuback,
  encodeSubscribe,
  encodeUnsuback,
  encodeUnsubscribe,
  PINGRESP,
} from './encode.js';
import { FrameReader } from './frame-reader.js';
import { PACKET_TYPE } from './packet-type.js';
import { checkPacket } from './packets.js';
import { Publishes } from './publishes.js';
import { planSuback, type SubackPlan, type Verdict } from './suback-plan.js';
import { readSubscribe, readUnsubscribe } from './subscribe-packet.js';
import { topicLevels } from './topic-filter.js';
import type { Violation } from './violation.js';

/** What a client sends: cut into frames, checked, and taken by the node or handed to the broker, in order. */
export class Inbound {
  readonly publishes: Publishes;
  /** SUBACKs of the broker that must be completed before the client sees them, by packet id. */
  readonly subackPlans = new Map<number, SubackPlan>();

  readonly #channel: Channel;
  readonly #host: ChannelHost;
  readonly #reader = new FrameReader(LIMITS.preConnectPacketBytes);
  /** Why parsing stands still. `connack`: until the broker answered; `decision`: until a SUBSCRIBE is decided. */
  #holding: 'connack' | 'decision' | 'end' | undefined;
  #brokerIsFull = false;
  #linkPaused = false;
  #ended = false;
  #endPassed = false;
  #pumping = false;
  /** Neighbouring frames for the broker leave as one piece of `reader.buffer`. */
  #passFrom = -1;
  #passTo = 0;
  #passBuffer: Buffer = Buffer.alloc(0);
  /** When a client that we do not read from heard last that we live. Clock time. */
  #provedMs = 0;

  constructor(channel: Channel, host: ChannelHost) {
    this.#channel = channel;
    this.#host = host;
    this.publishes = new Publishes(channel, host, () => {
      if (this.#linkPaused) this.pump();
    });
  }

  feed(chunk: Buffer): void {
    // Whoever has said DISCONNECT or was refused is not listened to any more.
    if (this.#holding === 'end' || this.#channel.destroyed) return;
    this.#reader.feed(chunk);
    this.pump();
  }

  /** The peer sends no more; what it sent is still worked off. */
  end(): void {
    this.#ended = true;
    this.pump();
  }

  brokerWantsMore(): void {
    this.#brokerIsFull = false;
    this.pump();
  }

  connectDone(): void {
    if (this.#holding === 'connack') this.#release();
  }

  /** Works off all that is here, as far as broker, peer and open decisions allow. */
  pump(): void {
    const { outbound } = this.#channel;
    if (this.#pumping || this.#channel.destroyed) return;
    this.#pumping = true;
    while (this.#mayGoOn()) {
      const found = this.#reader.next();
      if (found === 'more') break;
      if (found !== 'frame') {
        this.#fail(
          found === 'malformed'
            ? { clause: 'MQTT-2.2.3', message: 'remaining length: expected at most 4 bytes' }
            : { clause: 'limit', message: `packet: expected at most ${this.#reader.packetBytesMax} bytes, got more` },
        );
        break;
      }
      this.#frame();
    }
    this.#pass();
    this.publishes.pubacks.flush();
    this.publishes.pubrecs.flush();
    this.#pumping = false;
    if (this.#channel.destroyed) return;
    this.#pauseLink(!this.#mayGoOn());
    const workedOff = this.#mayGoOn() || this.#holding === 'end';
    if (!this.#ended || this.#endPassed || !workedOff || outbound.isOverfull) return;
    this.#endPassed = true;
    this.#channel.push(null);
  }

  #mayGoOn(): boolean {
    return (
      this.#holding === undefined &&
      !this.#brokerIsFull &&
      !this.#channel.outbound.isOverfull &&
      !this.publishes.isFull &&
      !this.#channel.destroyed
    );
  }

  #pauseLink(pause: boolean): void {
    // After DISCONNECT the peer's end must still be seen.
    const wanted = pause && this.#holding !== 'end';
    if (wanted === this.#linkPaused) return;
    this.#linkPaused = wanted;
    if (wanted) {
      this.#provedMs = this.#host.clock.now();
      this.#channel.link.pause();
    } else {
      // We looked away: silence until now says nothing about the peer.
      this.#channel.lastSeenMs = this.#host.clock.now();
      this.#channel.link.resume();
    }
  }

  get paused(): boolean {
    return this.#linkPaused;
  }

  /** A client that we do not read from gets a PINGRESP at each half of its keepalive: it could not tell us from a dead
   *  node, and leave. It also shows whether the client is still there.
   *  @returns Milliseconds until the next one; Infinity: none */
  proveLife(now: number): number {
    const { keepaliveS, outbound } = this.#channel;
    if (!this.#linkPaused || keepaliveS === 0 || outbound.isOverfull) return Number.POSITIVE_INFINITY;
    const everyMs = (keepaliveS * 1_000) / 2;
    if (now - this.#provedMs >= everyMs) {
      this.#provedMs = now;
      outbound.send(PINGRESP);
    }
    return this.#provedMs + everyMs - now;
  }

  #release(): void {
    this.#holding = undefined;
    this.pump();
  }

  #fail(violation: Violation): void {
    this.#holding = 'end';
    this.#host.violated(this.#channel, violation);
    this.#channel.destroy(new Error(`${violation.message} [${violation.clause}]`));
  }

  // ------------------------------------------------------------------ frames

  #frame(): void {
    const { buffer, header, body, end } = this.#reader;
    const type = header >> 4;
    this.#host.traffic.messagesReceived += 1;
    if (this.#channel.connect === undefined) {
      this.#connect();
      return;
    }
    const violation = checkPacket(buffer, header, body, end);
    if (violation) {
      this.#fail(violation);
      return;
    }
    switch (type) {
      case PACKET_TYPE.publish:
        this.#publish();
        return;
      case PACKET_TYPE.puback:
        this.#acknowledged('puback');
        return;
      case PACKET_TYPE.pubrec:
        this.#acknowledged('pubrec');
        return;
      case PACKET_TYPE.pubcomp:
        this.#acknowledged('pubcomp');
        return;
      case PACKET_TYPE.pubrel:
        this.#released();
        return;
      case PACKET_TYPE.subscribe:
        this.#subscribe();
        return;
      case PACKET_TYPE.unsubscribe:
        this.#unsubscribe();
        return;
      case PACKET_TYPE.pingreq:
        // Answered here, so that a busy broker does not look like a dead one.
        this.#host.pinged(this.#channel);
        this.#channel.outbound.send(PINGRESP);
        return;
      case PACKET_TYPE.disconnect:
        this.#channel.disconnecting();
        this.#forBroker();
        this.#holding = 'end';
        return;
      default:
        this.#fail({ clause: 'MQTT-2.2.1', message: `packet type ${type}: expected one that a client sends` });
    }
  }

  #connect(): void {
    const { buffer, header, body, end } = this.#reader;
    if (header >> 4 !== PACKET_TYPE.connect) {
      this.#fail({ clause: 'MQTT-3.1.0-1', message: `first packet: expected CONNECT, got packet type ${header >> 4}` });
      return;
    }
    const outcome = readConnect(buffer, header, body, end);
    if (outcome.kind === 'closed') {
      this.#fail(outcome.violation);
    } else if (outcome.kind === 'refused') {
      this.#holding = 'end';
      this.#host.violated(this.#channel, outcome.violation);
      this.#channel.refuse(outcome.connack);
    } else {
      this.#channel.connecting(outcome.connect);
      this.#reader.packetBytesMax = this.#host.packetBytesMax;
      this.#forBroker();
      this.#holding = 'connack';
    }
  }

  /** Keeps the frame for the broker, together with its neighbours. */
  #forBroker(): void {
    const { buffer, start, end } = this.#reader;
    if (this.#passFrom >= 0 && (buffer !== this.#passBuffer || start !== this.#passTo)) this.#pass();
    if (this.#passFrom < 0) {
      this.#passFrom = start;
      this.#passBuffer = buffer;
    }
    this.#passTo = end;
  }

  #pass(): void {
    if (this.#passFrom < 0) return;
    const piece = this.#passBuffer.subarray(this.#passFrom, this.#passTo);
    this.#passFrom = -1;
    this.#toBroker(piece);
  }

  #toBroker(bytes: Buffer): void {
    if (!this.#channel.destroyed && !this.#channel.push(bytes)) this.#brokerIsFull = true;
  }

  #publish(): void {
    this.#host.traffic.publishesReceived += 1;
    const whose = this.publishes.take(this.#reader);
    if (whose === 'broker') this.#forBroker();
    else if (whose !== 'node') this.#fail(whose);
  }

  // ------------------------------------------------------------------ acknowledgements

  #acknowledged(kind: 'puback' | 'pubrec' | 'pubcomp'): void {
    const packetId = this.#packetId();
    switch (this.#channel.session.ids.acknowledged(kind, packetId)) {
      case 'broker':
        this.#forBroker();
        return;
      case 'wrong-flow':
        this.#fail({
          clause: 'MQTT-4.3',
          message: `${kind.toUpperCase()} ${packetId}: not an answer to what has this id`,
        });
        return;
      case 'unknown':
        // A receiver that lost our state waits for its PUBREL: it gets one, or its id stays taken [MQTT-4.3.3-1].
        if (kind === 'pubrec') this.#channel.outbound.send(encodeAcks(ACK_HEADER.pubrel, [packetId]));
        return;
      case 'ours':
        return;
    }
  }

  #released(): void {
    const packetId = this.#packetId();
    const { received, routed } = this.#channel.session;
    routed.delete(packetId);
    if (received.delete(packetId)) this.#channel.outbound.send(encodeAcks(ACK_HEADER.pubcomp, [packetId]));
    else this.#forBroker();
  }

  #packetId(): number {
    return this.#reader.buffer.readUInt16BE(this.#reader.body);
  }

  // ------------------------------------------------------------------ subscriptions

  #subscribe(): void {
    const { buffer, start, body, end } = this.#reader;
    const { id, filters } = readSubscribe(buffer, body, end);
    const decide = (verdicts: readonly Verdict[]) => {
      const plan = planSuback(filters, verdicts);
      if (plan.taken.length > 0) this.#host.take(this.#channel, plan.taken);
      if (plan.passed.length === 0) {
        this.#channel.outbound.send(encodeSuback(id, plan.codes([])));
        return;
      }
      this.#pass();
      if (!plan.unchanged) this.subackPlans.set(id, plan);
      for (const { filter } of plan.passed) this.#channel.subscriptions.expect(filter);
      this.#toBroker(plan.unchanged ? buffer.subarray(start, end) : encodeSubscribe(id, plan.passed));
    };
    const verdict = this.#host.authorize(this.#channel, filters);
    if (!('then' in verdict)) {
      decide(verdict);
      return;
    }
    this.#holding = 'decision';
    verdict.then(
      (verdicts) => {
        if (this.#channel.destroyed) return;
        decide(verdicts);
        this.#release();
      },
      (error: Error) => this.#channel.destroy(error),
    );
  }

  /** The broker closes the connection over a filter that is too deep; we know it cannot be held. */
  #unsubscribe(): void {
    const { buffer, body, end } = this.#reader;
    const { id, filters } = readUnsubscribe(buffer, body, end);
    this.#host.unsubscribed(this.#channel, filters);
    const possible = filters.filter((filter) => topicLevels(filter) <= LIMITS.topicLevelsMax);
    if (possible.length === filters.length) {
      this.#forBroker();
    } else if (possible.length === 0) {
      this.#channel.outbound.send(encodeUnsuback(id));
    } else {
      this.#pass();
      this.#toBroker(encodeUnsubscribe(id, possible));
    }
  }
}

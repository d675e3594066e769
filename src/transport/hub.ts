import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Clock, Logger } from '../core/ports.js';
import type { Seat } from '../core/seat.js';
import { NOWHERE_ROOT, type TaskId, type Topics } from '../core/topics.js';
import type { WorkerKey } from '../core/worker-key.js';
import { Channel } from './channel.js';
import type { ChannelEnd, ChannelHost, Destination } from './channel-host.js';
import { Destinations } from './destinations.js';
import { silenceLimitMs } from './heartbeat.js';
import { Members } from './members.js';
import type { Qos } from './packet-type.js';
import type {
  Answers,
  BrokerAccess,
  EntrySource,
  Intake,
  Liveness,
  RequestHandler,
  TransportReport,
  WorkerChannels,
} from './ports.js';
import { Requests } from './requests.js';
import type { Routes } from './routes.js';
import { Sessions } from './session.js';
import { SilenceWatch } from './silence.js';
import type { Verdict } from './suback-plan.js';
import type { Subscription } from './subscribe-packet.js';
import { Takes } from './takes.js';
import { topicLevels } from './topic-filter.js';
import { newTraffic } from './traffic.js';
import type { Violation } from './violation.js';
import { seatIdOf, WorkerLines } from './worker-lines.js';

/** How a connection ended, for the callers of its worker. */
const END_TEXT: Record<ChannelEnd, string> = {
  disconnect: 'its client disconnected',
  closed: 'its connection closed',
  silent: 'no sign of life',
  ours: 'the node closed its connection',
};

interface HubLimits {
  readonly packetBytesMax: number;
  readonly connectionsMax: number;
  readonly subscriptionsPerClientMax: number;
  /** Entries that one take may have unsettled. */
  readonly takePrefetch: number;
  /** How long a stored session without a connection keeps them. */
  readonly takeResumeMs: number;
}

export interface HubPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly topics: Topics;
  readonly routes: Routes;
  readonly limits: HubLimits;
  readonly liveness: Liveness;
  readonly intake: Intake;
  readonly answers: Answers;
  readonly entries: EntrySource;
  readonly handler: RequestHandler;
  readonly broker: BrokerAccess;
  readonly report: TransportReport;
}

/** All connections of the node, and the house they stand in. */
export class Hub implements ChannelHost, WorkerChannels {
  readonly clock: Clock;
  readonly packetBytesMax: number;
  readonly sessions: Sessions;
  readonly traffic = newTraffic();
  destinationsVersion = 0;

  readonly #ports: HubPorts;
  readonly #channels = new Set<Channel>();
  readonly #byClientId = new Map<string, Channel>();
  readonly #requests: Requests;
  readonly #members: Members;
  readonly #lines: WorkerLines;
  readonly #destinations: Destinations;
  readonly #silences: SilenceWatch;
  readonly #takes: Takes;
  #toFlush: Channel[] = [];

  constructor(ports: HubPorts) {
    const { clock, topics, routes, intake, answers, liveness, report } = ports;
    const refuse = (channel: Channel, error: SuperNodeError) => this.#refuse(channel, error);
    this.#ports = ports;
    this.clock = clock;
    this.packetBytesMax = ports.limits.packetBytesMax;
    this.#requests = new Requests(topics, ports.handler);
    this.sessions = new Sessions(LIMITS.sessionsMax, (session) => this.#takes.forget(session));
    this.#takes = new Takes({
      clock,
      topics,
      source: ports.entries,
      log: ports.log,
      prefetch: ports.limits.takePrefetch,
      resumeMs: ports.limits.takeResumeMs,
      isStored: (clientId, session) => this.sessions.has(clientId, session),
    });
    this.#members = new Members({ topics, liveness, report, refuse });
    this.#lines = new WorkerLines({ topics, liveness, members: this.#members, channels: () => this.#channels });
    this.#destinations = new Destinations({
      topics,
      routes,
      intake,
      answers,
      liveness,
      report,
      refuse,
      requests: this.#requests,
      members: this.#members,
    });
    this.#silences = new SilenceWatch({
      clock,
      channels: () => this.#channels,
      limitMs: (channel) => this.#silenceLimitMs(channel),
    });
  }

  start(): void {
    this.#silences.start();
  }

  /** Closes every connection. */
  stop(): void {
    this.#silences.stop();
    for (const channel of [...this.#channels]) channel.close('ours');
    this.#takes.stop();
  }

  get connections(): number {
    return this.#channels.size;
  }

  /** Filters of clients that are connected, those by which they take entries included. */
  get subscriptions(): number {
    let count = 0;
    for (const { subscriptions, session } of this.#channels) count += subscriptions.size + session.takes.size;
    return count;
  }

  /** A channel on a fresh connection. Undefined: there are too many, and it was closed. */
  open(stream: Duplex, request: IncomingMessage | undefined): Channel | undefined {
    const { connectionsMax } = this.#ports.limits;
    if (this.#channels.size >= connectionsMax) {
      const error = `connections: expected at most ${connectionsMax}, got one more`;
      this.#ports.report.event('refused', { error, code: 'SN_ERR_LIMIT' });
      stream.destroy();
      return undefined;
    }
    const { traffic } = this;
    traffic.connectionsOpened += 1;
    const channel = new Channel(String(traffic.connectionsOpened), stream, request, this);
    this.#channels.add(channel);
    traffic.connectionsPeak = Math.max(traffic.connectionsPeak, this.#channels.size);
    return channel;
  }

  /** Destinations that channels remember may have changed: a task came or went. */
  forgetDestinations(): void {
    this.destinationsVersion++;
  }

  channelsOf(taskId: TaskId): readonly Channel[] {
    return this.#members.channelsOf(taskId);
  }

  /** Closes what this start of a worker, or an older one, has open. Nobody's failure. */
  closeChannels({ taskId, instance, generation }: WorkerKey): void {
    for (const channel of [...this.#channels]) {
      const { identity } = channel;
      const isIts = identity.role === 'worker' && identity.taskId === taskId && identity.instance === instance;
      if (isIts && identity.generation <= generation) channel.close('ours');
    }
  }

  /** Bytes to all channels of a task that take commands; how many those are. */
  send(taskId: TaskId, payload: Uint8Array): number {
    return this.#lines.send(taskId, payload);
  }

  /** The channels of a task that take calls now. */
  seats(taskId: TaskId): readonly Seat[] {
    return this.#lines.seats(taskId);
  }

  /** Our own rules for one filter; the host's come on top. */
  mayHold(channel: Channel, filter: string): boolean {
    const { topics, liveness } = this.#ports;
    if (topicLevels(filter) > LIMITS.topicLevelsMax) return false;
    // Aedes would take `$share/…` as a name and deliver nothing.
    if (filter.startsWith('$share/') || filter.startsWith(NOWHERE_ROOT) || topics.isTake(filter)) return false;
    const taskId = topics.commandsIn(filter);
    if (taskId === undefined) return true;
    const { identity } = channel;
    // A process's commands may hold what its params may hold: they are for its own token.
    return identity.role === 'worker' ? identity.taskId === taskId : !liveness.isProcess(taskId);
  }

  /** The task is gone. */
  forget(taskId: TaskId): void {
    this.#members.forget(taskId);
  }

  /** The last will of a connection that is over. True: the broker may publish it. */
  will(channel: Channel, topic: string, payload: Buffer, qos: Qos): boolean {
    return this.#destinations.will(channel, topic, payload, qos);
  }

  // ------------------------------------------------------------------ ChannelHost

  destination(channel: Channel, topic: string): Destination {
    return this.#destinations.of(channel, topic);
  }

  authorize(channel: Channel, wanted: readonly Subscription[]): readonly Verdict[] | Promise<readonly Verdict[]> {
    const { limits, broker } = this.#ports;
    let room = limits.subscriptionsPerClientMax - channel.subscriptions.size - channel.session.takes.size;
    const verdicts = wanted.map((subscription) => {
      const { filter } = subscription;
      const isTake = this.#takes.of(channel, filter) !== undefined;
      const isNew = !channel.subscriptions.has(filter) && !channel.session.takes.has(filter);
      if ((!isTake && !this.mayHold(channel, filter)) || (isNew && room-- <= 0)) return false;
      const verdict = broker.authorizeSubscribe(channel, subscription);
      if (!isTake) return verdict;
      return typeof verdict === 'boolean' ? verdict && 'take' : verdict.then((yes) => yes && 'take');
    });
    return verdicts.every(isDecided) ? verdicts : Promise.all(verdicts);
  }

  take(channel: Channel, filters: readonly Subscription[]): void {
    // After the SUBACK.
    this.clock.soon(() => {
      for (const subscription of filters) this.#takes.begin(channel, subscription);
      this.#ports.broker.takesChanged(channel);
    });
  }

  unsubscribed(channel: Channel, filters: readonly string[]): void {
    const before = channel.session.takes.size;
    for (const filter of filters) this.#takes.end(channel, filter);
    if (channel.session.takes.size < before) this.#ports.broker.takesChanged(channel);
  }

  flushSoon(channel: Channel): void {
    this.#toFlush.push(channel);
    if (this.#toFlush.length > 1) return;
    this.clock.soon(() => {
      const channels = this.#toFlush;
      this.#toFlush = [];
      for (const due of channels) due.outbound.flush();
    });
  }

  pinged(channel: Channel): void {
    this.#ports.broker.pinged(channel);
  }

  violated(channel: Channel, { clause, message }: Violation): void {
    const data = { client_id: channel.clientId, address: channel.link.remoteAddress, error: message, clause };
    const told = this.#ports.report.event('refused', data);
    if (told) this.#ports.log.info(data, 'a client broke the protocol; its connection is closed');
  }

  /** Of two with one id the older goes [MQTT-3.1.4-2], also where they came so close that the broker missed it. */
  accepted(channel: Channel): void {
    const { clientId } = channel;
    if (clientId === '') return;
    const older = this.#byClientId.get(clientId);
    this.#byClientId.set(clientId, channel);
    if (older !== channel) older?.destroy();
  }

  ready(channel: Channel): void {
    this.#members.arrived(channel);
    this.#takes.arrived(channel);
  }

  ended(channel: Channel, how: ChannelEnd): void {
    this.#channels.delete(channel);
    if (this.#byClientId.get(channel.clientId) === channel) this.#byClientId.delete(channel.clientId);
    this.#takes.ended(channel);
    this.#members.ended(channel, how);
    // After the supervisor: it may know the better reason.
    const processBehind = channel.identity.role === 'worker';
    this.#ports.answers.seatGone(seatIdOf(channel), { processBehind, why: END_TEXT[how] });
  }

  #refuse(channel: Channel, error: SuperNodeError): void {
    this.#ports.report.event('refused', { client_id: channel.clientId, error: error.message, code: error.code });
    this.#requests.complain(channel, error);
  }

  #silenceLimitMs(channel: Channel): number {
    const { identity, keepaliveS } = channel;
    if (identity.role === 'worker') {
      return silenceLimitMs(keepaliveS, { heartbeatMs: identity.heartbeatMs, isProcess: true });
    }
    let limitMs = silenceLimitMs(keepaliveS, undefined);
    for (const taskId of this.#members.tasksOf(channel) ?? []) {
      const heartbeatMs = this.#ports.liveness.heartbeatMs(taskId);
      limitMs = Math.min(limitMs, silenceLimitMs(keepaliveS, { heartbeatMs, isProcess: false }));
    }
    return limitMs;
  }
}

function isDecided(verdict: Verdict | Promise<Verdict>): verdict is Verdict {
  return typeof verdict !== 'object';
}

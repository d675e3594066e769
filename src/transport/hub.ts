import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { asSuperNodeError, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Logger } from '../core/ports.js';
import { type TaskId, type TopicMeaning, type Topics, WORKER_REPORTS, type WorkerReport } from '../core/topics.js';
import { Channel } from './channel.js';
import type { ChannelEnd, ChannelHost, Destination } from './channel-host.js';
import { silenceLimitMs } from './heartbeat.js';
import type { BrokerAccess, Intake, Liveness, RequestHandler, TransportReport } from './ports.js';
import { Requests } from './requests.js';
import type { Routes } from './routes.js';
import { Sessions } from './session.js';
import type { Subscription } from './subscribe-packet.js';
import { topicLevels } from './topic-filter.js';
import type { Violation } from './violation.js';

export interface HubLimits {
  readonly packetBytesMax: number;
  readonly connectionsMax: number;
  readonly subscriptionsPerClientMax: number;
}

export interface HubPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly topics: Topics;
  readonly routes: Routes;
  readonly limits: HubLimits;
  readonly liveness: Liveness;
  readonly intake: Intake;
  readonly handler: RequestHandler;
  readonly broker: BrokerAccess;
  readonly report: TransportReport;
}

/** Topics that no client may write, whatever the host allows: the broker's own. */
const BROKER_TOPICS = ['$SYS/', '$share/', '$SN/'];

/** All connections of the node: what their publishes mean, what they may hear, whose channels they are, and for how
 *  long they may be silent. */
export class Hub implements ChannelHost {
  readonly clock: Clock;
  readonly packetBytesMax: number;
  readonly sessions = new Sessions(LIMITS.sessionsMax);
  destinationsVersion = 0;

  readonly #ports: HubPorts;
  readonly #requests: Requests;
  readonly #channels = new Set<Channel>();
  /** The tasks each connection is a channel of. */
  readonly #tasksOf = new Map<Channel, Set<TaskId>>();
  #toFlush: Channel[] = [];
  #opened = 0;
  #lastTickMs = 0;
  #cancelTick: Cancel | undefined;

  constructor(ports: HubPorts) {
    this.#ports = ports;
    this.clock = ports.clock;
    this.packetBytesMax = ports.limits.packetBytesMax;
    this.#requests = new Requests(ports.topics, ports.handler);
  }

  start(): void {
    this.#lastTickMs = this.clock.now();
    this.#cancelTick ??= this.clock.every(LIMITS.tickMs, () => this.#tick());
  }

  /** Closes every connection. */
  stop(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    for (const channel of [...this.#channels]) channel.close('ours');
  }

  get connections(): number {
    return this.#channels.size;
  }

  /** A channel on a fresh connection. Undefined: there are too many, and it was closed. */
  open(stream: Duplex, request: IncomingMessage | undefined): Channel | undefined {
    const { connectionsMax } = this.#ports.limits;
    if (this.#channels.size >= connectionsMax) {
      this.#ports.report.event('refused', { error: `connections: expected at most ${connectionsMax}, got one more` });
      stream.destroy();
      return undefined;
    }
    const channel = new Channel(String(++this.#opened), stream, request, this);
    this.#channels.add(channel);
    return channel;
  }

  /** Destinations that channels remember may have changed: a task came or went. */
  forgetDestinations(): void {
    this.destinationsVersion++;
  }

  channelsOf(taskId: TaskId): Channel[] {
    return [...this.#channels].filter((channel) => this.#tasksOf.get(channel)?.has(taskId));
  }

  /** Closes what a generation of a task has open. Nobody's failure. */
  closeChannels(taskId: TaskId, generation: number): void {
    for (const channel of [...this.#channels]) {
      const { identity } = channel;
      if (identity.role === 'worker' && identity.taskId === taskId && identity.generation <= generation) {
        channel.close('ours');
      }
    }
  }

  /** Bytes to all channels of a task that take commands; how many those are. */
  send(taskId: TaskId, payload: Uint8Array): number {
    const { topics, liveness } = this.#ports;
    if (liveness.refusesCommands(taskId)) return 0;
    const topic = topics.workerCmd(taskId);
    const isProcess = liveness.isProcess(taskId);
    let sent = 0;
    for (const channel of this.#channels) {
      // A process's commands are for the process; net clients say by their subscription that they want them.
      const wants = isProcess
        ? channel.identity.role === 'worker' &&
          channel.identity.taskId === taskId &&
          channel.subscriptions.maxQos(topic) >= 0
        : channel.subscriptions.namesTopic(topic, topics.put(taskId));
      if (!wants) continue;
      channel.publish(topic, payload, channel.subscriptions.maxQos(topic) === 0 ? 0 : 1, () => undefined);
      sent++;
    }
    return sent;
  }

  // ------------------------------------------------------------------ ChannelHost

  destination(channel: Channel, topic: string): Destination {
    const { topics, routes, intake } = this.#ports;
    if (topic.length > LIMITS.topicLevelsMax && topicLevels(topic) > LIMITS.topicLevelsMax) {
      return this.#refusal(topic, 'SN_ERR_TOPIC', `topic: expected at most ${LIMITS.topicLevelsMax} levels`);
    }
    const meaning = topics.meaning(topic);
    if (meaning.kind === 'free') {
      if (BROKER_TOPICS.some((root) => topic.startsWith(root))) {
        return this.#refusal(topic, 'SN_ERR_FORBIDDEN', 'only the broker writes here');
      }
      const taskIds = routes.tasksFor(topic);
      if (taskIds.length === 0) return { kind: 'broker', copy: undefined };
      return {
        kind: 'broker',
        copy: (payload) => {
          for (const taskId of taskIds) this.#routed(taskId, payload, topic, intake);
        },
      };
    }
    return this.#ours(channel, topic, meaning);
  }

  authorize(channel: Channel, wanted: readonly Subscription[]): readonly boolean[] | Promise<readonly boolean[]> {
    let room = this.#ports.limits.subscriptionsPerClientMax - channel.subscriptions.size;
    const verdicts = wanted.map((subscription) => {
      const isNew = !channel.subscriptions.has(subscription.filter);
      if (!this.mayHold(channel, subscription.filter) || (isNew && room-- <= 0)) return false;
      return this.#ports.broker.authorizeSubscribe(channel, subscription);
    });
    return verdicts.every(isDecided) ? verdicts : Promise.all(verdicts);
  }

  /** Our own rules for one filter; the host's come on top. */
  mayHold(channel: Channel, filter: string): boolean {
    const { topics, liveness } = this.#ports;
    if (topicLevels(filter) > LIMITS.topicLevelsMax) return false;
    // Aedes would take `$share/…` as a name and deliver nothing; `m/take` is not served yet.
    if (filter.startsWith('$share/') || filter.startsWith('$SN/')) return false;
    if (filter === `${topics.prefix}m/take` || filter.startsWith(`${topics.prefix}m/take/`)) return false;
    const meaning = topics.meaning(filter.replace(/\/cmd(\/.*)?$/, ''));
    if (meaning.kind !== 'put') return true;
    const { identity } = channel;
    // A process's commands may hold what its params may hold: they are for its own token.
    return identity.role === 'worker' ? identity.taskId === meaning.taskId : !liveness.isProcess(meaning.taskId);
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
    this.#ports.log.info(data, 'a client broke the protocol; its connection is closed');
    this.#ports.report.event('refused', data);
  }

  ready(channel: Channel): void {
    const { identity, connect } = channel;
    const { report } = this.#ports;
    if (identity.role === 'worker') {
      this.#join(channel, identity.taskId, identity.generation);
      if (identity.heartbeatMs > 0 && channel.keepaliveS * 1_000 > identity.heartbeatMs) {
        const advice = `keepalive ${channel.keepaliveS} s is over the heartbeat of ${identity.heartbeatMs} ms, which counts; use SN_KEEPALIVE`;
        report.event('keepalive_too_long', { client_id: channel.clientId, advice }, identity.taskId);
      }
      return;
    }
    const meaning = connect?.will && this.#ports.topics.meaning(connect.will.topic);
    if (meaning?.kind === 'report') this.#registered(channel, meaning.taskId);
  }

  ended(channel: Channel, how: ChannelEnd): void {
    this.#channels.delete(channel);
    const tasks = this.#tasksOf.get(channel) ?? [];
    this.#tasksOf.delete(channel);
    for (const taskId of tasks) {
      if (how === 'ours') this.#ports.liveness.channelDown(taskId, channel.id, 'disconnect');
      else this.#ports.liveness.channelDown(taskId, channel.id, this.#endFor(channel, taskId, how));
    }
  }

  /** A last will on a topic of ours: the connection's end is known already; what is left is a last put. */
  will(channel: Channel, topic: string, payload: Buffer, qos: 0 | 1 | 2): void {
    const meaning = this.#ports.topics.meaning(topic);
    if (meaning.kind === 'report') return;
    if (meaning.kind === 'put') {
      const destination = this.destination(channel, topic);
      if (destination.kind === 'node') destination.accept(channel, payload, qos);
      return;
    }
    this.#ports.report.event('refused', {
      client_id: channel.clientId,
      error: `last will: expected w/ch/<task>, w/ch/<task>/state or a topic of your own, got ${JSON.stringify(topic)}`,
    });
  }

  // ------------------------------------------------------------------ publishes for the node

  #ours(channel: Channel, topic: string, meaning: Exclude<TopicMeaning, { kind: 'free' }>): Destination {
    const { identity } = channel;
    switch (meaning.kind) {
      case 'node':
        return this.#refusal(topic, 'SN_ERR_FORBIDDEN', 'only the node writes here');
      case 'unknown':
        return this.#refusal(topic, 'SN_ERR_TOPIC', meaning.why);
      case 'put':
      case 'report':
        if (identity.role === 'worker' && identity.taskId !== meaning.taskId) {
          return this.#refusal(topic, 'SN_ERR_FORBIDDEN', `expected the own task ${identity.taskId}`);
        }
        return meaning.kind === 'put' ? this.#put(topic, meaning.taskId) : this.#report(topic, meaning.taskId);
      case 'cmd':
        return this.#request('cmd', undefined);
      case 'task-cmd':
      case 'fetch':
      case 'stat':
        return this.#request(meaning.kind, meaning.taskId);
    }
  }

  #put(topic: string, taskId: TaskId): Destination {
    try {
      const sink = this.#ports.intake.sink(taskId);
      return { kind: 'node', accept: (_channel, payload, qos) => sink.put(payload, qos, undefined) };
    } catch (thrown) {
      const error = asSuperNodeError(thrown);
      return this.#refusal(topic, error.code, error.message);
    }
  }

  #report(topic: string, taskId: TaskId): Destination {
    return this.#taken((channel, payload) => {
      const word = payload.length <= 16 ? payload.toString('utf8').trim() : '';
      if (!isReport(word)) {
        const got = JSON.stringify(payload.toString('utf8', 0, 60));
        const error = `${topic}: expected one of ${WORKER_REPORTS.join(', ')}, got ${got}`;
        this.#refuse(channel, new SuperNodeError('SN_ERR_REQUEST', error));
        return;
      }
      if (channel.identity.role !== 'worker' && !this.#registered(channel, taskId)) return;
      this.#ports.liveness.report(taskId, channel.id, word);
    });
  }

  #request(kind: 'cmd' | 'task-cmd' | 'fetch' | 'stat', taskId: TaskId | undefined): Destination {
    return this.#taken((channel, payload) => this.#requests.run(channel, kind, taskId, payload));
  }

  #refusal(topic: string, code: SuperNodeError['code'], why: string): Destination {
    const error = new SuperNodeError(code, `${topic.slice(0, 200)}: ${why}`);
    return this.#taken((channel) => this.#refuse(channel, error));
  }

  #taken(act: (channel: Channel, payload: Buffer) => void): Destination {
    return {
      kind: 'node',
      accept: (channel, payload) => {
        act(channel, payload);
        return undefined;
      },
    };
  }

  #refuse(channel: Channel, error: SuperNodeError): void {
    this.#ports.report.event('refused', { client_id: channel.clientId, error: error.message, code: error.code });
    this.#requests.complain(channel, error);
  }

  #routed(taskId: TaskId, payload: Buffer, topic: string, intake: Intake): void {
    try {
      intake.sink(taskId).put(payload, 1, topic);
    } catch (thrown) {
      const error = asSuperNodeError(thrown);
      this.#ports.report.event('refused', { error: error.message, code: error.code, topic }, taskId);
    }
  }

  // ------------------------------------------------------------------ channels of tasks

  /** A net client says whose channel it is. False: it may not. */
  #registered(channel: Channel, taskId: TaskId): boolean {
    const { liveness } = this.#ports;
    try {
      liveness.register(taskId);
    } catch (thrown) {
      this.#refuse(channel, asSuperNodeError(thrown));
      return false;
    }
    if (liveness.isProcess(taskId)) {
      this.#refuse(
        channel,
        new SuperNodeError(
          'SN_ERR_FORBIDDEN',
          `${taskId}: expected the token of its process, got a connection without`,
        ),
      );
      return false;
    }
    this.#join(channel, taskId, undefined);
    return true;
  }

  #join(channel: Channel, taskId: TaskId, generation: number | undefined): void {
    const tasks = this.#tasksOf.get(channel) ?? new Set();
    if (tasks.has(taskId)) return;
    tasks.add(taskId);
    this.#tasksOf.set(channel, tasks);
    this.#ports.liveness.channelUp(taskId, channel.id, generation);
  }

  /** A will that says `sleeping` makes a lost connection the ordinary end of a short one. */
  #endFor(channel: Channel, taskId: TaskId, how: 'disconnect' | 'closed' | 'silent') {
    const will = channel.connect?.will;
    const expected = will?.topic === this.#ports.topics.workerState(taskId) && will.payload.toString() === 'sleeping';
    return expected ? 'disconnect' : how;
  }

  // ------------------------------------------------------------------ silences

  #tick(): void {
    const now = this.clock.now();
    const lagMs = now - this.#lastTickMs - LIMITS.tickMs;
    this.#lastTickMs = now;
    for (const channel of [...this.#channels]) {
      // While the node itself stood still nobody could be heard; while it does not read, neither.
      if (lagMs > LIMITS.loopLagMs) channel.lastSeenMs += lagMs;
      if (channel.paused) channel.lastSeenMs = now;
      if (channel.phase === 'connecting') continue;
      const limitMs = this.silenceLimitMs(channel);
      if (now - channel.lastSeenMs > limitMs) {
        channel.close('silent', `silent for more than ${Math.round(limitMs)} ms`);
      }
    }
  }

  /** The longest silence this connection may keep now. Milliseconds. */
  silenceLimitMs(channel: Channel): number {
    const { identity, keepaliveS } = channel;
    if (identity.role === 'worker') {
      return silenceLimitMs(keepaliveS, { heartbeatMs: identity.heartbeatMs, isProcess: true });
    }
    let limitMs = silenceLimitMs(keepaliveS, undefined);
    for (const taskId of this.#tasksOf.get(channel) ?? []) {
      const heartbeatMs = this.#ports.liveness.heartbeatMs(taskId);
      limitMs = Math.min(limitMs, silenceLimitMs(keepaliveS, { heartbeatMs, isProcess: false }));
    }
    return limitMs;
  }
}

function isReport(word: string): word is WorkerReport {
  return WORKER_REPORTS.some((known) => known === word);
}

function isDecided(verdict: boolean | Promise<boolean>): verdict is boolean {
  return typeof verdict === 'boolean';
}

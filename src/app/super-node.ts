import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Aedes } from 'aedes';
import { AedesAdapter, type OutgoingMessage } from '../adapters/aedes.js';
import { ChildProcessSpawner } from '../adapters/child-process.js';
import { systemClock, systemRandom } from '../adapters/system-clock.js';
import { TreeUsages } from '../adapters/usage.js';
import { Calls } from '../calls/calls.js';
import type { ConfigWire } from '../core/config-schema.js';
import { LIMITS } from '../core/limits.js';
import type { ChildJournal, Clock, Logger, ProcessUsage, Random } from '../core/ports.js';
import { type TaskId, Topics, taskIdOf } from '../core/topics.js';
import type { ListenerAddress } from '../http/ports.js';
import type { HttpServer } from '../http/server.js';
import type { Queues } from '../queues/queues.js';
import type { Caller } from '../router/request.js';
import { type CallOptions, Router } from '../router/router.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { Hub } from '../transport/hub.js';
import type { ListenerNames } from '../transport/origin.js';
import type { Liveness } from '../transport/ports.js';
import { Routes } from '../transport/routes.js';
import { Announcer } from './announcer.js';
import { CommandedTasks } from './commanded-tasks.js';
import { Courier } from './courier.js';
import { type WorkerUrls, workerEnvironment } from './environment.js';
import { livenessOf } from './liveness.js';
import { logFilesOf } from './log-dir.js';
import { openMemory } from './memory.js';
import { nodeLimits } from './node-limits.js';
import { NodeQueues } from './node-queues.js';
import { Observation } from './observation.js';
import type { SessionStore } from './session-store.js';
import { NodeStatusBoard } from './status-board.js';
import { SupervisorDesk } from './supervisor-desk.js';
import { TaskCatalog } from './task-catalog.js';
import { TaskLogs } from './task-logs.js';
import { UsageSampler } from './usage-sampler.js';
import { packageVersion } from './version.js';
import { Web } from './web.js';
import { AllWorkerChannels } from './worker-channels.js';

const IN_PROCESS: Caller = { id: 'in-process', role: 'admin' };

/** The options of a node: those of the config file, without what belongs to the daemon. */
export type NodeConfig = Omit<ConfigWire, 'listeners' | 'log'>;

export interface NodeParts {
  readonly broker: Aedes;
  readonly config: NodeConfig;
  readonly log: Logger;
  /** What the broker keeps, where its host opened it, with the data directory. */
  readonly store?: SessionStore | undefined;
}

/** All rooms of a node, put together on a broker. The only place that knows them all. */
export class SuperNode {
  readonly #clock: Clock = systemClock;
  readonly #random: Random = systemRandom;
  readonly #log: Logger;
  readonly #config: NodeConfig;
  readonly #limits: ReturnType<typeof nodeLimits>;
  readonly #store: SessionStore | undefined;
  readonly #name: string;
  readonly #version = packageVersion();
  readonly #topics: Topics;
  readonly #queues: Queues;
  readonly #storage: NodeQueues;
  readonly #supervisor: Supervisor;
  readonly #catalog: TaskCatalog;
  readonly #liveness: Liveness;
  readonly #commanded: CommandedTasks;
  readonly #hub: Hub;
  readonly #web: Web;
  readonly #adapter: AedesAdapter;
  readonly #announcer: Announcer;
  readonly #router: Router;
  readonly #usage: UsageSampler;
  readonly #calls: Calls;
  readonly #courier: Courier;
  readonly #channels = new AllWorkerChannels(() => [this.#hub, this.#web.workers]);
  readonly #logs: TaskLogs;
  readonly #board: NodeStatusBoard;
  readonly #observation: Observation;
  #journal: ChildJournal | undefined;
  #closeMemory: (() => Promise<void>) | undefined;
  #workerUrls: WorkerUrls = {};
  #closed: Promise<void> | undefined;

  constructor({ broker, config, log, store }: NodeParts) {
    this.#store = store;
    const clock = this.#clock;
    this.#config = config;
    this.#limits = nodeLimits(config);
    this.#log = log;
    this.#name = config.name ?? 'super-node';
    this.#topics = new Topics(config.topics?.prefix);
    this.#announcer = new Announcer(
      this.#topics,
      clock,
      (message) => this.#tell(message),
      (topic) => this.#adapter.isHeard(topic),
      (taskId) => this.#storage.storageError(taskId),
    );
    this.#storage = this.#newStorage();
    this.#queues = this.#storage.queues;
    this.#logs = new TaskLogs({ clock, files: logFilesOf(config, log, clock), tasksMax: this.#limits.tasksMax });
    this.#calls = new Calls({ clock, random: this.#random, seats: (taskId) => this.#courier.seats(taskId) });
    this.#courier = new Courier({
      supervisor: () => this.#supervisor,
      channels: this.#channels,
      calls: this.#calls,
    });
    const usages = new TreeUsages();
    this.#supervisor = new Supervisor({
      clock,
      random: this.#random,
      spawner: new ChildProcessSpawner(clock, usages),
      journal: {
        spawning: (record) => this.#journal?.spawning(record),
        spawned: (record) => this.#journal?.spawned(record),
        gone: (record) => this.#journal?.gone(record),
      },
      log,
      report: this.#desk(),
      environment: (record, worker, token) => workerEnvironment(process.env, record, this.#endpoint(), worker, token),
      tasksMax: this.#limits.tasksMax,
    });
    this.#catalog = this.#newCatalog();
    this.#liveness = livenessOf(this.#supervisor, this.#catalog);
    this.#commanded = new CommandedTasks({
      supervisor: this.#supervisor,
      log,
      resolve: (task, source) => this.#catalog.resolve(task, source),
      event: (type, data, taskId) => this.#event(type, data, taskId),
      forgotten: () => this.#queues.whenFlushed(),
    });
    this.#usage = new UsageSampler({
      clock,
      usageOf: (leaders) => usages.of(leaders),
      leaders: () => this.#supervisor.leaders(),
      sampled: (usage) => this.#sampled(usage),
      failed: (error) => log.error({ err: error }, 'the workers could not be looked at'),
    });
    this.#board = new NodeStatusBoard({
      ...{ name: this.#name, version: this.#version, clock, supervisor: this.#supervisor, catalog: this.#catalog },
      ...{ queues: this.#queues, usage: this.#usage, calls: this.#calls, announced: this.#announcer },
      channels: this.#channels,
      connections: () => this.#hub.connections + this.#web.connections,
    });
    this.#router = new Router(
      {
        tasks: this.#commanded,
        records: this.#catalog,
        queues: this.#queues,
        courier: this.#courier,
        calls: this.#calls,
        logs: this.#logs,
        board: this.#board,
        unheard: (caller, taskId) => this.#event('fetch_unheard', { client_id: caller }, taskId),
      },
      log,
    );
    this.#hub = this.#newHub();
    this.#web = this.#newWeb();
    this.#adapter = this.#newAdapter(broker);
    this.#observation = new Observation({
      ...{ name: this.#name, version: this.#version, clock, config, store, supervisor: this.#supervisor },
      ...{ storage: this.#storage, usage: this.#usage, calls: this.#calls, announcer: this.#announcer },
      ...{ hub: this.#hub, web: this.#web, adapter: this.#adapter },
    });
  }

  /** Takes over the broker's hooks. Connections can be handed in from now on; no task runs yet. */
  async attach(): Promise<void> {
    const memory = await openMemory(this.#config.data_dir, this.#log, this.#clock, this.#store?.directory);
    this.#journal = memory.journal;
    this.#commanded.remember(memory.tasks, memory.remembered);
    this.#closeMemory = memory.close;
    this.#storage.disk.open(this.#config.data_dir);
    this.#adapter.attach();
    this.#hub.start();
    this.#usage.start();
    this.#observation.start();
  }

  /** Starts the tasks of the config.
   *  @param workerUrls Where workers connect
   *  @param info What `m/info` says beside name, version, prefix and limits */
  async startTasks(workerUrls: WorkerUrls, info: { listeners?: readonly ListenerAddress[] } = {}): Promise<void> {
    this.#workerUrls = workerUrls;
    this.#web.listeners = info.listeners ?? [];
    this.#observation.phase = 'listening';
    const known = this.#commanded.configure(this.#config.tasks ?? []);
    await this.#announcer.clearUnknown(known, (filter) => this.#adapter.retainedTopics(filter));
    this.#announcer.info({
      name: this.#name,
      version: this.#version,
      prefix: this.#topics.prefix,
      started_ts: this.#clock.wallNow(),
      limits: { packet_bytes: this.#hub.packetBytesMax, connections: this.#limits.connectionsMax },
      ...info,
    });
    this.#announcer.nodeState('online');
    this.#store?.watch((type, data) => this.#event(type, data, undefined));
    this.#commanded.startAll();
    this.#catalog.registerStored();
    this.#observation.phase = 'begun';
  }

  /** Hands a fresh connection to the node, in place of `broker.handle`. */
  readonly handle = (stream: Duplex, request?: IncomingMessage): void => {
    this.#adapter.handle(stream, request);
  };

  /** A server for REST, JSON WebSockets and MQTT over WebSocket, for the host to listen with. Ends with the node.
   *  @param names The address that it is going to listen on, and web origins that may use it beside its own */
  httpServer(names: ListenerNames): Promise<HttpServer> {
    return this.#web.server(names);
  }

  /** Puts an entry into a task's queue, as a worker would. A task that does not exist becomes one of net clients.
   *  @param payload At most `limits.packet_bytes` are sensible; the bytes are copied.
   *  @throws SuperNodeError SN_ERR_TASK_ID, SN_ERR_TASK_UNKNOWN (with `net.auto: false`), SN_ERR_LIMIT */
  async put(taskId: string, payload: Uint8Array | string): Promise<void> {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    await this.#catalog.sink(taskIdOf(taskId)).putWaiting(bytes);
  }

  /** Runs a command as on `m/cmd`; code in the process may give any `command`. Resolves with the reply's `data`.
   *  @throws SuperNodeError as the command's reply would say */
  command(command: Record<string, unknown>): Promise<unknown> {
    return this.#router.command(command, IN_PROCESS);
  }

  /** Calls a worker of a task and resolves with the last part of its answer.
   *  @param options.timeoutMs Longest wait for the whole answer, default 30_000
   *  @param options.onPart Takes each part but the last; a promise slows the worker down
   *  @throws SuperNodeError as the call's reply would say */
  async call(taskId: string, payload: Uint8Array | string, options: CallOptions = {}): Promise<Buffer> {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const last = await this.#router.call(taskId, bytes, options);
    return Buffer.from(last.payload);
  }

  /** Ends all workers, closes the connections of this node, and puts the broker's hooks back. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#observation.phase = 'closing';
    this.#web.closing();
    this.#calls.stop();
    await this.#supervisor.shutdown();
    this.#queues.close();
    this.#announcer.nodeState('offline');
    // Two turns: the broker delivers in one, the channels write in the next.
    await new Promise<void>((resolve) => this.#clock.after(20, resolve));
    this.#usage.stop();
    this.#observation.stop();
    const served = this.#web.stop();
    this.#hub.stop();
    await Promise.all([this.#adapter.detach(), served]);
    await this.#logs.close();
    await this.#storage.disk.close();
    await this.#closeMemory?.();
  }

  #desk(): SupervisorDesk {
    return new SupervisorDesk({
      log: this.#log,
      announcer: this.#announcer,
      logs: this.#logs,
      catalog: () => this.#catalog,
      liveRoom: () => this.#adapter.liveRoom(),
      answer: (worker, line) => this.#courier.answer(worker, line),
      workerGone: (worker, why) => this.#calls.workerGone(worker, why),
      closeChannels: (worker) => this.#channels.closeChannels(worker),
      forget: (taskId) => {
        this.#channels.forget(taskId);
        this.#calls.forget(taskId);
      },
    });
  }

  #newStorage(): NodeQueues {
    return new NodeQueues({
      ...{ clock: this.#clock, random: this.#random, log: this.#log, limits: this.#limits },
      expired: (taskId) => this.#catalog.expired(taskId),
      opened: () => this.#catalog.queuesReopened(),
      event: (type, data) => this.#event(type, data, undefined),
      diskChanged: (error) => {
        if (error !== undefined) this.#web.diskFailed(error);
        for (const status of this.#supervisor.list()) this.#announcer.taskState(status);
      },
      flushed: (entries, tookMs) => this.#observation.metrics.flushed(entries, tookMs),
    });
  }

  #newCatalog(): TaskCatalog {
    return new TaskCatalog(this.#config, {
      ...{ clock: this.#clock, topics: this.#topics, queues: this.#queues, supervisor: this.#supervisor },
      publish: (message) => this.#tell(message),
      dropped: (taskId, data) => this.#event('dropped', data, taskId),
      changed: () => this.#hub.forgetDestinations(),
    });
  }

  #newHub(): Hub {
    return new Hub({
      clock: this.#clock,
      log: this.#log,
      topics: this.#topics,
      routes: new Routes((this.#config.routes ?? []).map(({ from, task_id }) => ({ from, taskId: task_id }))),
      limits: this.#limits,
      liveness: this.#liveness,
      intake: this.#catalog,
      answers: this.#calls,
      entries: this.#queues,
      handler: this.#router,
      broker: {
        authorizeSubscribe: (channel, subscription) => this.#adapter.authorizeSubscribe(channel, subscription),
        pinged: (channel) => this.#adapter.pinged(channel),
        takesChanged: (channel) => this.#adapter.takesChanged(channel),
      },
      report: { event: (type, data, taskId) => this.#event(type, data, taskId) },
    });
  }

  #newWeb(): Web {
    return new Web({
      ...{ name: this.#name, version: this.#version, prefix: this.#topics.prefix },
      ...{ clock: this.#clock, random: this.#random, log: this.#log, limits: this.#limits },
      handler: this.#router,
      intake: this.#catalog,
      answers: this.#calls,
      liveness: this.#liveness,
      report: { event: (type, data, taskId) => this.#event(type, data, taskId) },
      storageError: (taskId) => this.#storage.storageError(taskId),
      identify: (username, token) => this.#identify(username, token),
      mqtt: this.handle,
      metrics: () => this.#observation.scrape(),
      readiness: () => this.#observation.readiness(),
      info: () => this.#announcer.lastInfo,
    });
  }

  #newAdapter(broker: Aedes): AedesAdapter {
    return new AedesAdapter({
      broker,
      log: this.#log,
      clock: this.#clock,
      sessionExpiryMs: this.#limits.sessionExpiryMs,
      host: {
        open: (stream, request) => this.#hub.open(stream, request),
        identify: (username, token) => this.#identify(username, token),
        mayHold: (channel, filter) => this.#hub.mayHold(channel, filter),
        isOurs: (topic) => this.#topics.isOurs(topic),
        event: (type, data) => this.#event(type, data, undefined),
        will: (channel, topic, payload, qos) => this.#hub.will(channel, topic, payload, qos),
        sessionForgotten: (clientId) => this.#hub.sessions.discard(clientId),
      },
    });
  }

  #sampled(usage: ReadonlyMap<number, ProcessUsage>): void {
    this.#supervisor.usageSeen(usage);
    for (const taskId of this.#supervisor.taskIds()) {
      this.#announcer.usage(taskId, () => this.#board.usage(this.#supervisor.status(taskId)));
    }
  }

  /** To all who listen, whichever way. */
  #tell(message: OutgoingMessage): void {
    // What is retained, or clears that, is no message of the moment.
    if (message.live || message.topic === this.#topics.event) this.#web.feeds.tell(message.topic, message.payload);
    this.#adapter.publish(message);
  }

  #event(type: string, data: Record<string, unknown>, taskId: TaskId | undefined): boolean {
    return this.#announcer.event(type, data, taskId);
  }

  #identify(username: string, token: string) {
    const known = this.#supervisor.authenticate(username, token);
    if (!known.ok) return undefined;
    const { instance, generation, heartbeatMs } = known;
    return { role: 'worker', taskId: taskIdOf(username), instance, generation, heartbeatMs } as const;
  }

  #endpoint() {
    return {
      urls: this.#workerUrls,
      topicPrefix: this.#topics.prefix,
      keepaliveS: LIMITS.workerKeepaliveS,
    };
  }
}

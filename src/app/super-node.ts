import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Aedes } from 'aedes';
import { AedesAdapter } from '../adapters/aedes.js';
import { ChildProcessSpawner } from '../adapters/child-process.js';
import { systemClock, systemRandom } from '../adapters/system-clock.js';
import { usageOf } from '../adapters/usage.js';
import { SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { ChildJournal, Clock, Logger, Random } from '../core/ports.js';
import type { ConfigWire } from '../core/schema.js';
import type { TaskRecord } from '../core/task-record.js';
import { type TaskId, Topics, taskIdOf } from '../core/topics.js';
import { Queues } from '../queues/queues.js';
import type { Caller } from '../router/request.js';
import { Router } from '../router/router.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { Hub } from '../transport/hub.js';
import { Routes } from '../transport/routes.js';
import { Announcer } from './announcer.js';
import { workerEnvironment } from './environment.js';
import { openMemory } from './memory.js';
import { NodeStatusBoard } from './status-board.js';
import { TaskCatalog } from './task-catalog.js';
import { UsageSampler } from './usage-sampler.js';
import { packageVersion } from './version.js';

/** Events that somebody should look into. */
const TROUBLE = new Set(['restarting', 'failed', 'spawn_error', 'unkillable', 'lost', 'output_dropped']);

const IN_PROCESS: Caller = { id: 'in-process', role: 'admin' };

/** The options of a node: those of the config file, without what belongs to the daemon. */
export type NodeConfig = Omit<ConfigWire, 'listeners' | 'log'>;

export interface NodeParts {
  readonly broker: Aedes;
  readonly config: NodeConfig;
  readonly log: Logger;
}

/** All rooms of a node, put together on a broker. The only place that knows them all. */
export class SuperNode {
  readonly #clock: Clock = systemClock;
  readonly #random: Random = systemRandom;
  readonly #log: Logger;
  readonly #config: NodeConfig;
  readonly #name: string;
  readonly #version = packageVersion();
  readonly #topics: Topics;
  readonly #queues: Queues;
  readonly #supervisor: Supervisor;
  readonly #catalog: TaskCatalog;
  readonly #hub: Hub;
  readonly #adapter: AedesAdapter;
  readonly #announcer: Announcer;
  readonly #router: Router;
  readonly #usage: UsageSampler;
  readonly #taskLogs = new Map<TaskId, Logger>();
  #journal: ChildJournal | undefined;
  #closeMemory: (() => void) | undefined;
  #workerUrl: string | undefined;
  #closed: Promise<void> | undefined;

  constructor({ broker, config, log }: NodeParts) {
    const clock = this.#clock;
    this.#config = config;
    this.#log = log;
    this.#name = config.name ?? 'super-node';
    this.#topics = new Topics(config.topics?.prefix);
    this.#announcer = new Announcer(this.#topics, clock, (message) => this.#adapter.publish(message));
    this.#queues = new Queues(clock, this.#random, config.limits?.queue_bytes ?? LIMITS.queuesBytesMax);
    this.#supervisor = new Supervisor({
      clock,
      random: this.#random,
      spawner: new ChildProcessSpawner(clock),
      journal: {
        spawning: (record) => this.#journal?.spawning(record),
        spawned: (record) => this.#journal?.spawned(record),
        gone: (record) => this.#journal?.gone(record),
      },
      log,
      report: this.#supervisorReport(),
      environment: (record, generation, token) =>
        workerEnvironment(process.env, record, this.#endpoint(), generation, token),
      tasksMax: config.limits?.tasks ?? LIMITS.tasksMax,
    });
    this.#catalog = new TaskCatalog(config, {
      clock,
      topics: this.#topics,
      queues: this.#queues,
      supervisor: this.#supervisor,
      publish: (message) => this.#adapter.publish(message),
      dropped: (taskId, data) => this.#event('dropped', data, taskId),
      changed: () => this.#hub.forgetDestinations(),
    });
    this.#usage = new UsageSampler({
      clock,
      usageOf,
      pids: () => this.#supervisor.list().flatMap(({ pid }) => pid ?? []),
    });
    const board = new NodeStatusBoard({
      name: this.#name,
      version: this.#version,
      clock,
      supervisor: this.#supervisor,
      queues: this.#queues,
      usage: this.#usage,
      events: this.#announcer.counts,
      hub: () => this.#hub,
    });
    this.#router = new Router(
      {
        tasks: this.#catalog,
        records: this.#catalog,
        queues: this.#queues,
        courier: { send: (taskId, payload) => this.#hub.send(taskId, payload) },
        board,
        unheard: (caller, taskId) => this.#event('fetch_unheard', { client_id: caller }, taskId),
      },
      log,
    );
    this.#hub = this.#newHub();
    this.#adapter = new AedesAdapter(
      broker,
      {
        open: (stream, request) => this.#hub.open(stream, request),
        identify: (username, token) => this.#identify(username, token),
        mayHold: (channel, filter) => this.#hub.mayHold(channel, filter),
        isOurs: (topic) => this.#topics.isOurs(topic),
        event: (type, data) => this.#event(type, data, undefined),
        will: (channel, topic, payload, qos) => this.#hub.will(channel, topic, payload, qos),
      },
      log,
    );
  }

  /** Takes over the broker's hooks. Connections can be handed in from now on; no task runs yet. */
  async attach(): Promise<void> {
    const memory = await openMemory(this.#config.data_dir, this.#log, this.#clock);
    this.#journal = memory.journal;
    this.#closeMemory = memory.close;
    this.#adapter.attach();
    this.#hub.start();
    this.#usage.start();
  }

  /** Starts the tasks of the config.
   *  @param workerUrl Where workers connect: `mqtt://host:port`
   *  @param info What `m/info` says beside name, version, prefix and limits */
  async startTasks(workerUrl: string | undefined, info: Record<string, unknown> = {}): Promise<void> {
    this.#workerUrl = workerUrl;
    const tasks = (this.#config.tasks ?? []).map((task) => this.#catalog.resolve(task, 'trusted'));
    await this.#clearUnknown(new Set(tasks.map(({ taskId }) => taskId)));
    this.#announcer.info({
      name: this.#name,
      version: this.#version,
      prefix: this.#topics.prefix,
      started_ts: this.#clock.wallNow(),
      limits: { packet_bytes: this.#hub.packetBytesMax, connections: this.#hubLimits().connectionsMax },
      ...info,
    });
    this.#announcer.nodeState('online');
    for (const record of tasks) this.#catalog.start(record);
  }

  /** Hands a fresh connection to the node, in place of `broker.handle`. */
  readonly handle = (stream: Duplex, request?: IncomingMessage): void => {
    this.#adapter.handle(stream, request);
  };

  /** Puts an entry into a task's queue, as a worker would. A task that does not exist becomes one of net clients.
   *  @param payload At most `limits.packet_bytes` are sensible; the bytes are copied.
   *  @throws SuperNodeError SN_ERR_TASK_ID, SN_ERR_TASK_UNKNOWN (with `net.auto: false`), SN_ERR_LIMIT */
  async put(taskId: string, payload: Uint8Array | string): Promise<void> {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    await this.#catalog.sink(taskIdOf(taskId)).put(bytes, 1, undefined);
  }

  /** Runs a command as on `m/cmd`; code in the process may give any `command`. Resolves with the reply's `data`.
   *  @throws SuperNodeError as the command's reply would say */
  command(command: Record<string, unknown>): Promise<unknown> {
    return this.#router.command(command, IN_PROCESS);
  }

  /** Ends all workers, closes the connections of this node, and puts the broker's hooks back. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#supervisor.shutdown();
    this.#queues.close();
    this.#announcer.nodeState('offline');
    // Two turns: the broker delivers in one, the channels write in the next.
    await new Promise<void>((resolve) => this.#clock.after(20, resolve));
    this.#usage.stop();
    this.#hub.stop();
    await this.#adapter.detach();
    this.#closeMemory?.();
  }

  #newHub(): Hub {
    const supervisor = this.#supervisor;
    return new Hub({
      clock: this.#clock,
      log: this.#log,
      topics: this.#topics,
      routes: new Routes((this.#config.routes ?? []).map(({ from, task_id }) => ({ from, taskId: task_id }))),
      limits: this.#hubLimits(),
      liveness: {
        isProcess: (taskId) => supervisor.record(taskId)?.command !== undefined,
        refusesCommands: (taskId) => supervisor.record(taskId)?.acceptTasks === false,
        register: (taskId) => this.#catalog.register(taskId),
        channelUp: (taskId, channelId, generation) => supervisor.channelUp(taskId, channelId, generation),
        channelDown: (taskId, channelId, how) => supervisor.channelDown(taskId, channelId, how),
        report: (taskId, channelId, word) => supervisor.report(taskId, channelId, word),
        heartbeatMs: (taskId) => supervisor.record(taskId)?.heartbeatMs ?? 0,
      },
      intake: this.#catalog,
      handler: this.#router,
      broker: {
        authorizeSubscribe: (channel, subscription) => this.#adapter.authorizeSubscribe(channel, subscription),
        pinged: (channel) => this.#adapter.pinged(channel),
      },
      report: { event: (type, data, taskId) => this.#event(type, data, taskId) },
    });
  }

  #hubLimits() {
    const { limits } = this.#config;
    return {
      packetBytesMax: limits?.packet_bytes ?? LIMITS.packetBytes,
      connectionsMax: limits?.connections ?? LIMITS.connectionsMax,
      subscriptionsPerClientMax: limits?.subscriptions_per_client ?? LIMITS.subscriptionsPerClientMax,
    };
  }

  #supervisorReport() {
    return {
      defined: (record: TaskRecord) => this.#catalog.defined(record),
      stateChanged: (status: Parameters<Announcer['taskState']>[0]) => {
        this.#catalog.stateChanged(status.taskId, status.accepting);
        this.#announcer.taskState(status);
      },
      event: (type: string, taskId: TaskId, data: Record<string, unknown>) => {
        this.#logOf(taskId)[TROUBLE.has(type) ? 'warn' : 'info'](data, `${taskId}: ${type}`);
        this.#event(type, data, taskId);
      },
      output: (taskId: TaskId, stream: 'stdout' | 'stderr', line: string) => {
        this.#logOf(taskId).debug({ stream }, line);
        this.#announcer.output(taskId, line);
      },
      removed: (taskId: TaskId) => {
        this.#taskLogs.delete(taskId);
        this.#catalog.removed(taskId);
        this.#hub.forget(taskId);
        this.#announcer.forget(taskId);
      },
      closeChannels: (taskId: TaskId, generation: number) => this.#hub.closeChannels(taskId, generation),
    };
  }

  #logOf(taskId: TaskId): Logger {
    const log = this.#taskLogs.get(taskId) ?? this.#log.child({ task_id: taskId });
    this.#taskLogs.set(taskId, log);
    return log;
  }

  #event(type: string, data: Record<string, unknown>, taskId: TaskId | undefined): boolean {
    return this.#announcer.event(type, data, taskId);
  }

  #identify(username: string, token: string) {
    const known = this.#supervisor.authenticate(username, token);
    if (!known.ok) return undefined;
    const { generation, heartbeatMs } = known;
    return { role: 'worker', taskId: taskIdOf(username), generation, heartbeatMs } as const;
  }

  #endpoint() {
    return {
      url: this.#workerUrl,
      topicPrefix: this.#topics.prefix,
      keepaliveS: LIMITS.workerKeepaliveS,
    };
  }

  /** A store that outlived the last run may hold states of tasks that are no more. */
  async #clearUnknown(known: ReadonlySet<string>): Promise<void> {
    for (const base of [this.#topics.state(''), this.#topics.data('')]) {
      for (const topic of await this.#adapter.retainedTopics(`${base}+`)) {
        if (!known.has(topic.slice(base.length))) this.#announcer.clear(topic);
      }
    }
  }
}

/** @throws SuperNodeError SN_ERR_CONFIG where the broker is none */
export function assertBroker(broker: unknown): asserts broker is Aedes {
  if (typeof broker === 'object' && broker !== null && 'handle' in broker && 'authorizePublish' in broker) return;
  throw new SuperNodeError(
    'SN_ERR_CONFIG',
    'broker: expected an Aedes broker (await Aedes.createBroker()), got something else',
  );
}

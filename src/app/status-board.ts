import type { Clock, ProcessUsage } from '../core/ports.js';
import { queueToWire, recordToWire } from '../core/task-record.js';
import { DEFAULT_GROUP, type TaskId } from '../core/topics.js';
import { type WorkerKey, workerIdOf } from '../core/worker-key.js';
import type { Group } from '../queues/group.js';
import type { Queues } from '../queues/queues.js';
import type { StatusBoard } from '../router/ports.js';
import type { TaskStatus, WorkerStatus } from '../supervisor/status.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import type { WorkerChannels } from '../transport/ports.js';
import { jobToWire, statusToWire, workerToWire } from './status-wire.js';
import type { TaskCatalog } from './task-catalog.js';
import type { UsageSampler } from './usage-sampler.js';

export interface BoardPorts {
  readonly name: string;
  readonly version: string;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly catalog: TaskCatalog;
  readonly queues: Queues;
  readonly usage: UsageSampler;
  readonly calls: CallFigures;
  readonly channels: WorkerChannels;
  /** Open connections, of all kinds. */
  readonly connections: () => number;
  readonly announced: AnnouncedFigures;
}

/** What is told to everybody as well. */
interface AnnouncedFigures {
  /** Events so far, by type. */
  readonly counts: ReadonlyMap<string, number>;
  /** Why nothing can be put into the queue of a task; undefined: it can. */
  readonly storageError: (taskId: TaskId) => string | undefined;
}

/** What is counted of calls. */
interface CallFigures {
  figures(taskId: TaskId): { readonly inFlight: number; readonly total: number; readonly failed: number };
  /** Under way at one worker. */
  inFlight(worker: WorkerKey): number;
  /** Under way, of all tasks. */
  readonly size: number;
  /** Answers that nobody waited for. */
  readonly late: number;
}

/** What `m/stat` shows: the states of the supervisor, the figures of the queues, the channels of the transport. */
export class NodeStatusBoard implements StatusBoard {
  readonly #ports: BoardPorts;
  readonly #startedMs: number;

  constructor(ports: BoardPorts) {
    this.#ports = ports;
    this.#startedMs = ports.clock.now();
  }

  node(): Record<string, unknown> {
    const { name, version, clock, supervisor, queues, calls, connections } = this.#ports;
    return {
      name,
      version,
      uptime_ms: Math.round(clock.now() - this.#startedMs),
      connections: connections(),
      queue_bytes: queues.bytes,
      calls: { in_flight: calls.size, late: calls.late },
      events: Object.fromEntries(this.#ports.announced.counts),
      tasks: supervisor.list().map((status) => this.#task(status)),
    };
  }

  task(taskId: TaskId): Record<string, unknown> {
    const { supervisor } = this.#ports;
    const record = supervisor.record(taskId);
    const status = supervisor.status(taskId);
    const { job } = status;
    return {
      ...this.#task(status),
      ...(status.stderr === undefined ? {} : { stderr: status.stderr }),
      ...(job ? jobToWire(job) : {}),
      ...(record ? { record: recordToWire(record) } : {}),
    };
  }

  /** What `m/usage/<task>` tells at each sample. */
  usage(status: TaskStatus): Record<string, unknown> {
    const queue = this.#ports.queues.get(status.taskId);
    return {
      task_id: status.taskId,
      ts: this.#ports.clock.wallNow(),
      ...(status.kind === 'process' ? usageToWire(this.#usages(status)) : {}),
      queue: { length: queue?.length ?? 0, bytes: queue?.bytes ?? 0, dropped: queue?.dropped ?? 0 },
    };
  }

  #task(status: TaskStatus): Record<string, unknown> {
    const { clock, calls } = this.#ports;
    const { restarts, startedAtMs, workers, taskId, job } = status;
    const { stderr: _, ...state } = statusToWire(status);
    const figures = calls.figures(taskId);
    const usages = this.#usages(status);
    const lastSeenMs = this.#lastSeenMs(taskId);
    return {
      ...state,
      restarts,
      restarts_total: Object.values(restarts).reduce((sum, count) => sum + count, 0),
      ...(startedAtMs === undefined ? {} : { uptime_ms: Math.max(0, clock.wallNow() - startedAtMs) }),
      ...(usages.length > 0 ? usageToWire(usages) : {}),
      ...(lastSeenMs === undefined ? {} : { last_seen_ms: Math.round(clock.now() - lastSeenMs) }),
      ...(workers.length > 1
        ? { instances: workers.length, workers: workers.map((worker) => this.#worker(status, worker)) }
        : {}),
      ...(job ? { runs: job.runs, runs_failed: job.runsFailed, missed_runs: job.missedRuns } : {}),
      ...(figures.total > 0
        ? { calls: { in_flight: figures.inFlight, total: figures.total, failed: figures.failed } }
        : {}),
      channels: this.#channels(status),
      queue: this.#queue(taskId),
    };
  }

  #worker(status: TaskStatus, worker: WorkerStatus): Record<string, unknown> {
    const { calls, usage } = this.#ports;
    const { instance, generation, pid } = worker;
    const own = pid === undefined ? undefined : usage.latest(pid);
    return {
      ...workerToWire(status, worker),
      ...(own ? usageToWire([own]) : {}),
      calls: calls.inFlight({ taskId: status.taskId, instance, generation }),
    };
  }

  #usages({ workers }: TaskStatus): ProcessUsage[] {
    return workers.flatMap(({ pid }) => (pid === undefined ? [] : (this.#ports.usage.latest(pid) ?? [])));
  }

  /** When anything was heard of the task: on its channels, or by a put. Monotonic, ms. */
  #lastSeenMs(taskId: TaskId): number | undefined {
    const { catalog, channels } = this.#ports;
    const heard = channels.channelsOf(taskId).map(({ lastSeenMs }) => lastSeenMs);
    const put = catalog.lastPutMs(taskId);
    const all = put === undefined ? heard : [...heard, put];
    return all.length === 0 ? undefined : Math.max(...all);
  }

  #channels({ taskId, workers }: TaskStatus): Record<string, unknown>[] {
    const { channels, clock } = this.#ports;
    return channels.channelsOf(taskId).map((channel) => ({
      client_id: channel.clientId,
      ...(channel.identity?.role === 'worker' && workers.length > 1
        ? { worker_id: workerIdOf(taskId, channel.identity.instance, workers.length) }
        : {}),
      address: channel.remoteAddress,
      keepalive_s: channel.keepaliveS,
      last_seen_ms: Math.round(clock.now() - channel.lastSeenMs),
    }));
  }

  #queue(taskId: TaskId): Record<string, unknown> {
    const queue = this.#ports.queues.get(taskId);
    if (!queue) return {};
    const { length, bytes, readyLength, deadLength, seq, dropped, discarded, epoch, bounds } = queue;
    const storageError = this.#ports.announced.storageError(taskId);
    const named = queue.groups().filter(({ name }) => name !== DEFAULT_GROUP);
    return {
      length,
      ...(readyLength === undefined ? {} : { ready: readyLength }),
      bytes,
      seq,
      dropped,
      discarded,
      epoch,
      bounds: queueToWire(bounds),
      ...(storageError === undefined ? {} : { storage_error: storageError }),
      ...(deadLength > 0 ? { dead: deadLength } : {}),
      ...(named.length > 0 ? { groups: Object.fromEntries(named.map(groupToWire)) } : {}),
    };
  }
}

function groupToWire({ name, readyLength, leasedLength, dropped }: Group): [string, Record<string, number>] {
  return [name, { ready: readyLength, leased: leasedLength, dropped }];
}

/** Of process trees together; `children` are what they have beside their leaders. */
function usageToWire(usages: readonly ProcessUsage[]): Record<string, unknown> {
  const sum = { cpu_percent: 0, rss_kb: 0, children: 0 };
  for (const { cpuPercent, rssKb, processes } of usages) {
    sum.cpu_percent += cpuPercent;
    sum.rss_kb += rssKb;
    sum.children += processes - 1;
  }
  return { ...sum, cpu_percent: Math.round(sum.cpu_percent * 10) / 10 };
}

import type { Clock } from '../core/ports.js';
import { recordToWire } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import type { Queues } from '../queues/queues.js';
import type { StatusBoard } from '../router/ports.js';
import type { TaskStatus } from '../supervisor/status.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import type { Hub } from '../transport/hub.js';
import { statusToWire } from './status-wire.js';
import type { UsageSampler } from './usage-sampler.js';

export interface BoardPorts {
  readonly name: string;
  readonly version: string;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly queues: Queues;
  readonly usage: UsageSampler;
  readonly hub: () => Hub;
  /** Events so far, by type. */
  readonly events: ReadonlyMap<string, number>;
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
    const { name, version, clock, supervisor, queues, hub } = this.#ports;
    return {
      name,
      version,
      uptime_ms: Math.round(clock.now() - this.#startedMs),
      connections: hub().connections,
      queue_bytes: queues.bytes,
      events: Object.fromEntries(this.#ports.events),
      tasks: supervisor.list().map((status) => this.#task(status)),
    };
  }

  task(taskId: TaskId): Record<string, unknown> {
    const { supervisor } = this.#ports;
    const record = supervisor.record(taskId);
    const status = supervisor.status(taskId);
    return {
      ...this.#task(status),
      ...(status.stderr === undefined ? {} : { stderr: status.stderr }),
      ...(record ? { record: recordToWire(record) } : {}),
    };
  }

  #task(status: TaskStatus): Record<string, unknown> {
    const { clock } = this.#ports;
    const { restarts, startedAtMs } = status;
    return {
      ...statusToWire(status),
      restarts,
      restarts_total: Object.values(restarts).reduce((sum, count) => sum + count, 0),
      ...(startedAtMs === undefined ? {} : { uptime_ms: Math.max(0, clock.wallNow() - startedAtMs) }),
      ...this.#usage(status.pid),
      channels: this.#channels(status.taskId),
      queue: this.#queue(status.taskId),
    };
  }

  #usage(pid: number | undefined): Record<string, unknown> {
    const usage = pid === undefined ? undefined : this.#ports.usage.latest(pid);
    return usage ? { cpu_percent: usage.cpuPercent, rss_kb: usage.rssKb } : {};
  }

  #channels(taskId: TaskId): Record<string, unknown>[] {
    const { hub, clock } = this.#ports;
    return hub()
      .channelsOf(taskId)
      .map((channel) => ({
        client_id: channel.clientId,
        address: channel.link.remoteAddress,
        keepalive_s: channel.keepaliveS,
        last_seen_ms: Math.round(clock.now() - channel.lastSeenMs),
      }));
  }

  #queue(taskId: TaskId): Record<string, unknown> {
    const queue = this.#ports.queues.get(taskId);
    if (!queue) return {};
    const { length, bytes, readyLength, seq, dropped, discarded, epoch, bounds } = queue;
    return { length, ready: readyLength, bytes, seq, dropped, discarded, epoch, bounds };
  }
}

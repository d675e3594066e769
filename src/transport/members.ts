import { asSuperNodeError, SuperNodeError } from '../core/errors.js';
import type { TaskId, Topics } from '../core/topics.js';
import type { WorkerKey } from '../core/worker-key.js';
import type { Channel } from './channel.js';
import type { ChannelEnd } from './channel-host.js';
import type { Liveness, TransportReport } from './ports.js';

export interface MembersPorts {
  readonly topics: Topics;
  readonly liveness: Liveness;
  readonly report: TransportReport;
  /** Tells a client why it was not taken. */
  refuse(channel: Channel, error: SuperNodeError): void;
}

/** Whose channels the connections are: a process's by its token, a net client's by its will or birth. */
export class Members {
  readonly #ports: MembersPorts;
  readonly #tasksOf = new Map<Channel, Set<TaskId>>();
  readonly #channelsOf = new Map<TaskId, Set<Channel>>();

  constructor(ports: MembersPorts) {
    this.#ports = ports;
  }

  tasksOf(channel: Channel): ReadonlySet<TaskId> | undefined {
    return this.#tasksOf.get(channel);
  }

  channelsOf(taskId: TaskId): readonly Channel[] {
    return [...(this.#channelsOf.get(taskId) ?? [])];
  }

  /** The task is gone: a connection that names it again belongs to a new one. */
  forget(taskId: TaskId): void {
    for (const channel of this.#channelsOf.get(taskId) ?? []) this.#tasksOf.get(channel)?.delete(taskId);
    this.#channelsOf.delete(taskId);
  }

  /** A connection is up, and has shown who it is. */
  arrived(channel: Channel): void {
    const { identity, connect, keepaliveS } = channel;
    if (identity.role !== 'worker') {
      const meaning = connect?.will && this.#ports.topics.meaning(connect.will.topic);
      if (meaning?.kind === 'report') this.register(channel, meaning.taskId);
      return;
    }
    const { instance, generation } = identity;
    this.#join(channel, identity.taskId, { instance, generation });
    if (identity.heartbeatMs > 0 && keepaliveS * 1_000 > identity.heartbeatMs) {
      const advice = `keepalive ${keepaliveS} s is over the heartbeat of ${identity.heartbeatMs} ms, which counts; use SN_KEEPALIVE`;
      this.#ports.report.event('keepalive_too_long', { client_id: channel.clientId, advice }, identity.taskId);
    }
  }

  /** A net client says whose channel it is. False: it may not be, and was told. */
  register(channel: Channel, taskId: TaskId): boolean {
    const { liveness, refuse } = this.#ports;
    try {
      liveness.register(taskId);
      if (liveness.isProcess(taskId)) {
        const expected = `${taskId}: expected the token of its process, got a connection without`;
        throw new SuperNodeError('SN_ERR_FORBIDDEN', expected);
      }
    } catch (thrown) {
      refuse(channel, asSuperNodeError(thrown));
      return false;
    }
    this.#join(channel, taskId, undefined);
    return true;
  }

  ended(channel: Channel, how: ChannelEnd): void {
    const tasks = this.#tasksOf.get(channel) ?? [];
    this.#tasksOf.delete(channel);
    for (const taskId of tasks) {
      const channels = this.#channelsOf.get(taskId);
      channels?.delete(channel);
      if (channels?.size === 0) this.#channelsOf.delete(taskId);
      this.#ports.liveness.channelDown(taskId, channel.id, this.#endFor(channel, taskId, how));
    }
  }

  #join(channel: Channel, taskId: TaskId, worker: Pick<WorkerKey, 'instance' | 'generation'> | undefined): void {
    const tasks = this.#tasksOf.get(channel) ?? new Set();
    if (tasks.has(taskId)) return;
    const channels = this.#channelsOf.get(taskId) ?? new Set();
    this.#tasksOf.set(channel, tasks.add(taskId));
    this.#channelsOf.set(taskId, channels.add(channel));
    this.#ports.liveness.channelUp(taskId, channel.id, worker);
  }

  /** What we closed ourselves is no failure, and a will that says `sleeping` makes a lost connection the ordinary end
   *  of a short one. */
  #endFor(channel: Channel, taskId: TaskId, how: ChannelEnd): 'disconnect' | 'closed' | 'silent' {
    if (how === 'ours') return 'disconnect';
    const will = channel.connect?.will;
    const expected = will?.topic === this.#ports.topics.workerState(taskId) && will.payload.toString() === 'sleeping';
    return expected ? 'disconnect' : how;
  }
}

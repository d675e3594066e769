import { SuperNodeError } from '../core/errors.js';
import type { TaskRecord } from '../core/task-record.js';
import type { TaskId, WorkerReport } from '../core/topics.js';
import { NEW_NET, type NetEvent, type NetState, stepNet } from './net-machine.js';
import type { SupervisorPorts, TaskStatus } from './status.js';
import type { AnsweredCommand } from './worker-states.js';

/** A task whose workers are clients of the network. */
export class NetTask {
  readonly kind = 'net';
  readonly taskId: TaskId;
  record: TaskRecord;
  readonly removing = false;

  readonly #ports: SupervisorPorts;
  readonly #forgotten: (task: NetTask) => void;
  readonly #channels = new Set<string>();
  #net: NetState = NEW_NET;
  #sinceMs: number;

  constructor(record: TaskRecord, ports: SupervisorPorts, forgotten: (task: NetTask) => void) {
    this.taskId = record.taskId;
    this.record = record;
    this.#ports = ports;
    this.#forgotten = forgotten;
    this.#sinceMs = ports.clock.wallNow();
  }

  get replaceable(): boolean {
    return this.resting;
  }

  get resting(): boolean {
    return this.#net.name === 'stopped';
  }

  start(): void {
    this.#step({ type: 'start' });
  }

  /** There is no process to wait for: every command is done at once. */
  async command(type: AnsweredCommand): Promise<void> {
    if (type === 'remove') {
      this.#forgotten(this);
      return;
    }
    this.#step({ type: 'stop' });
    if (type === 'restart') this.#step({ type: 'start' });
  }

  /** @throws SuperNodeError SN_ERR_NOT_RUNNING */
  signal(): never {
    throw new SuperNodeError(
      'SN_ERR_NOT_RUNNING',
      `task ${this.taskId}: expected a process, got a task of net clients`,
    );
  }

  channelUp(channelId: string): void {
    if (this.#channels.has(channelId)) return;
    this.#channels.add(channelId);
    this.#step({ type: 'channelUp' });
  }

  channelDown(channelId: string, how: 'closed' | 'disconnect' | 'silent'): void {
    if (!this.#channels.delete(channelId)) return;
    this.#step({ type: 'channelDown', how });
  }

  report(channelId: string, word: WorkerReport): void {
    const others = this.#channels.size - (this.#channels.has(channelId) ? 1 : 0);
    this.#step({ type: 'report', word, others });
  }

  putSeen(): void {
    if (this.#net.name === 'pending') this.#step({ type: 'put' });
  }

  status(): TaskStatus {
    return {
      taskId: this.taskId,
      state: this.#net.name,
      kind: this.kind,
      generation: 0,
      restarts: {},
      channels: this.#net.channels,
      workers: [],
      sinceMs: this.#sinceMs,
      accepting: this.#net.name !== 'stopped',
    };
  }

  #step(event: NetEvent): void {
    const before = this.#net;
    this.#net = stepNet(before, event);
    if (this.#net === before) return;
    const { name, channels } = this.#net;
    const { clock, report } = this.#ports;
    if (name !== before.name) this.#sinceMs = clock.wallNow();
    report.stateChanged(this.status());
    if (name !== before.name) report.event(name, this.taskId, { channels });
  }
}

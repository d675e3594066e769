import { SuperNodeError } from '../core/errors.js';
import type { ProcessIdentity, ProcessUsage, WriteResult } from '../core/ports.js';
import type { TaskRecord } from '../core/task-record.js';
import type { TaskId } from '../core/topics.js';
import { type WorkerKey, workerIdOf } from '../core/worker-key.js';
import { statusOfWorkers } from './pool-status.js';
import { ProcessWorker, type WorkerTask } from './process-worker.js';
import type { RestartBudget } from './restart-budget.js';
import type { SupervisorPorts, TaskStatus } from './status.js';
import type { AnsweredCommand } from './worker-states.js';

/** The stdin of a worker, for programs that know no MQTT. */
export interface WorkerStdin {
  readonly worker: WorkerKey;
  /** `<task>`, or `<task>~<instance>` in a pool. */
  readonly name: string;
  /** Writes one line, which ends with a newline. */
  write(line: Uint8Array): WriteResult;
}

/** A task whose workers are child processes: one, or a pool of `instances` that share its queue. */
export class ProcessTask implements WorkerTask {
  readonly kind = 'process';
  readonly taskId: TaskId;
  readonly restarts: RestartBudget;
  /** A start that came while the task was being removed. */
  successor: TaskRecord | undefined;

  readonly #ports: SupervisorPorts;
  readonly #forgotten: (task: ProcessTask) => void;
  #record: TaskRecord;
  #workers: ProcessWorker[] = [];
  #published = '';

  /** @param forgotten Called once when the task is removed and its processes gone. */
  constructor(
    record: TaskRecord,
    ports: SupervisorPorts,
    restarts: RestartBudget,
    forgotten: (task: ProcessTask) => void,
  ) {
    this.taskId = record.taskId;
    this.restarts = restarts;
    this.#record = record;
    this.#ports = ports;
    this.#forgotten = forgotten;
    this.#resize();
  }

  get record(): TaskRecord {
    return this.#record;
  }

  /** What the next start and the next decision go by. Another number of instances needs a task at rest. */
  set record(record: TaskRecord) {
    this.#record = record;
    this.#resize();
  }

  /** Whether no process is there or planned, or only until a stop is through: the record may be exchanged. */
  get replaceable(): boolean {
    return this.#workers.every(({ resting, next }) => resting || next === 'stop');
  }

  get resting(): boolean {
    return this.#workers.every((worker) => worker.resting);
  }

  get removing(): boolean {
    return this.#workers.some(({ next }) => next === 'remove');
  }

  start(): void {
    for (const worker of [...this.#workers]) worker.start();
  }

  /** Resolves when it is done for every worker; rejects with the first refusal once all have answered. */
  async command(type: AnsweredCommand): Promise<void> {
    const answers = await Promise.allSettled([...this.#workers].map((worker) => worker.command(type)));
    const refusal = answers.find((answer) => answer.status === 'rejected');
    if (refusal !== undefined) throw refusal.reason;
  }

  /** To every worker that runs.
   *  @throws SuperNodeError SN_ERR_NOT_RUNNING where none does */
  signal(signal: string): void {
    const results = this.#workers.map((worker) => worker.signal(signal));
    if (results.includes('sent')) return;
    const why = results.includes('unverified') ? 'one that is verifiably ours' : `state ${this.status().state}`;
    throw new SuperNodeError('SN_ERR_NOT_RUNNING', `task ${this.taskId}: expected a running process, got ${why}`);
  }

  /** The worker whose token this is, while its process lives. */
  ownerOf(tokenHash: string): Omit<WorkerKey, 'taskId'> | undefined {
    for (const worker of this.#workers) {
      const generation = worker.generationOf(tokenHash);
      if (generation !== undefined) return { instance: worker.instance, generation };
    }
    return undefined;
  }

  channelUp(channelId: string, owner: Omit<WorkerKey, 'taskId'> | undefined): void {
    if (owner)
      this.#workers.find(({ instance }) => instance === owner.instance)?.channelUp(channelId, owner.generation);
  }

  channelDown(channelId: string, how: 'closed' | 'disconnect' | 'silent'): void {
    this.#workers.some((worker) => worker.channelDown(channelId, how));
  }

  /** @param instance Who put it; undefined: not known, which counts for all */
  putSeen(instance: number | undefined): void {
    if (this.#record.staleAfterMs === 0) return;
    const nowMs = this.#ports.clock.now();
    for (const worker of this.#workers) {
      if (instance === undefined || worker.instance === instance) worker.putSeen(nowMs);
    }
  }

  /** Whether this start of this worker is there to work: not gone, and not on its way out. */
  works({ instance, generation }: Omit<WorkerKey, 'taskId'>): boolean {
    const worker = this.#workers.find((one) => one.instance === instance);
    return worker?.run?.generation === generation && worker.works;
  }

  /** The processes that live now. */
  leaders(): ProcessIdentity[] {
    return this.#workers.flatMap(({ run }) => run?.identity ?? []);
  }

  usageSeen(usage: ReadonlyMap<number, ProcessUsage>): void {
    for (const worker of [...this.#workers]) {
      const pid = worker.run?.identity?.pid;
      const own = pid === undefined ? undefined : usage.get(pid);
      if (own) worker.usageSeen(own);
    }
  }

  /** Where lines may be written, with `stdin: lines`. */
  stdins(): WorkerStdin[] {
    if (this.#record.stdin !== 'lines') return [];
    return this.#workers.flatMap((worker) => {
      const key = worker.run?.identity && worker.run.key;
      if (key === undefined) return [];
      const name = workerIdOf(this.taskId, worker.instance, this.#record.instances);
      return [{ worker: key, name, write: (line) => worker.write(line) } satisfies WorkerStdin];
    });
  }

  status(): TaskStatus {
    return statusOfWorkers(
      this.#record,
      this.#workers.map((worker) => worker.status()),
    );
  }

  dispose(): void {
    for (const worker of this.#workers) worker.dispose();
  }

  // ------------------------------------------------------------------ WorkerTask

  changed(): void {
    if (this.#workers.length === 0) return;
    const status = this.status();
    const text = JSON.stringify(status, withoutOutput);
    if (text === this.#published) return;
    this.#published = text;
    try {
      this.#ports.report.stateChanged(status);
    } catch (error) {
      this.#ports.log.error({ task_id: this.taskId, err: error }, 'a port of the supervisor failed');
    }
  }

  forgotten(worker: ProcessWorker): void {
    this.#workers = this.#workers.filter((one) => one !== worker);
    if (this.#workers.length === 0) this.#forgotten(this);
    else this.changed();
  }

  #resize(): void {
    const { instances } = this.#record;
    for (const surplus of this.#workers.splice(instances)) surplus.dispose();
    for (let instance = this.#workers.length + 1; instance <= instances; instance++) {
      this.#workers.push(new ProcessWorker(instance, this, this.#ports));
    }
  }
}

/** Lines that were written do not change by themselves, and there are many. */
function withoutOutput(key: string, value: unknown): unknown {
  return key === 'stderr' || key === 'stdout' ? undefined : value;
}

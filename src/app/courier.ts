import type { Calls } from '../calls/calls.js';
import { answerIn, stdinSeat, stdinSeatId } from '../calls/stdin-lines.js';
import { mismatch } from '../core/errors.js';
import type { Seat } from '../core/seat.js';
import type { TaskId } from '../core/topics.js';
import { seatOwner, type WorkerKey } from '../core/worker-key.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import type { WorkerChannels } from '../transport/ports.js';

const NEWLINE = 10;
const LINE_END = Uint8Array.of(NEWLINE);

export interface CourierPorts {
  readonly supervisor: () => Supervisor;
  readonly channels: WorkerChannels;
  readonly calls: Calls;
}

/** What goes to the workers of a task and comes back: by their connections, or by the lines of programs that know no
 *  MQTT. */
export class Courier {
  readonly #ports: CourierPorts;

  constructor(ports: CourierPorts) {
    this.#ports = ports;
  }

  /** Bytes to all who take commands of a task.
   *  @returns How many got them
   *  @throws SuperNodeError SN_ERR_REQUEST: more than a line, for a program that reads lines */
  send(taskId: TaskId, payload: Uint8Array): number {
    if (!this.#readsLines(taskId)) return this.#ports.channels.send(taskId, payload);
    if (payload.includes(NEWLINE)) {
      throw mismatch('SN_ERR_REQUEST', 'payload', 'one line, for a worker with stdin: lines', 'a line end in it');
    }
    const line = Buffer.concat([payload, LINE_END]);
    const stdins = this.#ports.supervisor().stdins(taskId);
    return stdins.filter(({ write }) => write(line) === 'written').length;
  }

  /** Who can take a call of a task. */
  seats(taskId: TaskId): readonly Seat[] {
    if (!this.#readsLines(taskId)) return this.#ports.channels.seats(taskId);
    const stdins = this.#ports.supervisor().stdins(taskId);
    return stdins.map(({ worker, name, write }) => stdinSeat(seatOwner(worker), name, write));
  }

  /** A line of stdout that may answer a call. A late answer is no entry and no line of the log: it is counted, as one
   *  by MQTT is. */
  answer(worker: WorkerKey, line: Uint8Array): undefined | 'taken' | Promise<void> {
    const answer = answerIn(line);
    const seatId = stdinSeatId(seatOwner(worker));
    if (answer === undefined) return undefined;
    return this.#ports.calls.answer(seatId, { taskId: worker.taskId, ...answer }) ?? 'taken';
  }

  /** Its workers get everything by their stdin, also where one of them connects. */
  #readsLines(taskId: TaskId): boolean {
    return this.#ports.supervisor().record(taskId)?.stdin === 'lines';
  }
}

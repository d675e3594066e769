import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import type { Seat } from '../core/seat.js';
import type { TaskId } from '../core/topics.js';
import { seatOwner, type WorkerKey, workerIdOf } from '../core/worker-key.js';
import type { Liveness, WorkerChannels } from '../transport/ports.js';
import type { Party } from './access.js';
import { WorkerSocket, type WorkerSocketPorts } from './worker-socket.js';

/** For the callers of a worker. */
const END_TEXT = {
  disconnect: 'its client closed its WebSocket',
  closed: 'its WebSocket broke off',
  silent: 'no sign of life',
} as const;

export interface WorkerSocketsPorts extends Omit<WorkerSocketPorts, 'heartbeatMs' | 'ended'> {
  readonly liveness: Liveness;
}

/** The WebSockets of workers, of all listeners: what a channel of MQTT is, in the manner of a browser. A worker with a
 *  process shows its token; a stranger on its path puts entries and is no channel of it. */
export class WorkerSockets implements WorkerChannels {
  readonly #ports: WorkerSocketsPorts;
  readonly #sockets = new Map<TaskId, Set<WorkerSocket>>();
  #opened = 0;

  constructor(ports: WorkerSocketsPorts) {
    this.#ports = ports;
  }

  /** Whether a WebSocket may be opened there; its task may come into being by that.
   *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_LIMIT */
  admit(taskId: TaskId): void {
    this.#ports.liveness.register(taskId);
  }

  /** @param options.acks The node tells how many of its entries are in the queue for good */
  open(
    socket: WebSocket,
    request: IncomingMessage,
    { taskId, party, acks }: { taskId: TaskId; party: Party; acks: boolean },
  ): void {
    const { liveness } = this.#ports;
    const identity = party.worker;
    const isChannel = identity !== undefined || !liveness.isProcess(taskId);
    const id = `socket:${++this.#opened}`;
    const worker: WorkerSocket = new WorkerSocket(
      socket,
      {
        ...this.#ports,
        heartbeatMs: (task) => liveness.heartbeatMs(task),
        ended: (ended, how) => {
          if (isChannel) this.#ended(ended, how);
        },
      },
      { id, taskId, identity, connection: request.socket, acks },
    );
    if (!isChannel) return;
    this.#sockets.set(taskId, (this.#sockets.get(taskId) ?? new Set()).add(worker));
    liveness.channelUp(taskId, id, identity);
  }

  channelsOf(taskId: TaskId): readonly WorkerSocket[] {
    return [...(this.#sockets.get(taskId) ?? [])];
  }

  /** Bytes to all of a task that take commands; how many those are. */
  send(taskId: TaskId, payload: Uint8Array): number {
    const listening = this.#listening(taskId);
    for (const { writer } of listening) writer.sendBytes(payload);
    return listening.length;
  }

  /** Those of a task that take calls now. */
  seats(taskId: TaskId): readonly Seat[] {
    const { liveness } = this.#ports;
    return this.#listening(taskId).map((socket) => {
      const { identity, id } = socket;
      if (identity === undefined) return socket.seat(id, id);
      return socket.seat(seatOwner(identity), workerIdOf(taskId, identity.instance, liveness.instances(taskId)));
    });
  }

  /** Closes what this start of a worker, or an older one, has open. Nobody's failure. */
  closeChannels({ taskId, instance, generation }: WorkerKey): void {
    for (const socket of this.channelsOf(taskId)) {
      const { identity } = socket;
      if (identity?.instance === instance && identity.generation <= generation) socket.close();
    }
  }

  /** The task is gone: a WebSocket that puts again belongs to a new one. */
  forget(taskId: TaskId): void {
    for (const socket of this.channelsOf(taskId)) socket.close();
    this.#sockets.delete(taskId);
  }

  /** Closes them all. */
  stop(): void {
    for (const sockets of this.#sockets.values()) for (const socket of sockets) socket.close();
  }

  #listening(taskId: TaskId): WorkerSocket[] {
    const { liveness } = this.#ports;
    return this.channelsOf(taskId).filter(
      ({ isListening, identity }) => isListening && liveness.takesCommands(taskId, identity),
    );
  }

  #ended(socket: WorkerSocket, how: 'closed' | 'disconnect' | 'silent'): void {
    const { taskId, id, identity } = socket;
    const { liveness, answers } = this.#ports;
    const sockets = this.#sockets.get(taskId);
    // One whose task is gone is nobody's channel any more.
    if (sockets?.delete(socket)) liveness.channelDown(taskId, id, how);
    if (sockets?.size === 0) this.#sockets.delete(taskId);
    // After the supervisor: it may know the better reason.
    answers.seatGone(id, { processBehind: identity !== undefined, why: END_TEXT[how] });
  }
}

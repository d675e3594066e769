import type { Seat } from '../core/seat.js';
import type { TaskId, Topics } from '../core/topics.js';
import { seatOwner, workerIdOf } from '../core/worker-key.js';
import type { Channel } from './channel.js';
import type { Members } from './members.js';
import type { Liveness } from './ports.js';

/** Stands for any call: the ids of calls are unguessable, so a filter that matches this one matches them all. What a
 *  channel's subscriptions remember of a topic is then not pushed out by topics that come once. */
const ANY_CALL = '-';

export interface WorkerLinesPorts {
  readonly topics: Topics;
  readonly liveness: Liveness;
  readonly members: Members;
  channels(): Iterable<Channel>;
}

/** The connection as a seat; the word before its id keeps it apart from seats of another kind. */
export function seatIdOf(channel: Channel): string {
  return `channel:${channel.id}`;
}

/** What goes to workers: raw bytes to all of a task, or a call to one of them. */
export class WorkerLines {
  readonly #ports: WorkerLinesPorts;

  constructor(ports: WorkerLinesPorts) {
    this.#ports = ports;
  }

  /** Bytes to all channels of a task that take commands; how many those are. */
  send(taskId: TaskId, payload: Uint8Array): number {
    const topic = this.#ports.topics.workerCmd(taskId);
    const listeners = this.#listeners(taskId, topic);
    for (const channel of listeners) publish(channel, topic, payload, topic);
    return listeners.length;
  }

  /** The channels of a task that take calls now. */
  seats(taskId: TaskId): readonly Seat[] {
    const { topics } = this.#ports;
    return this.#listeners(taskId, topics.workerCall(taskId, ANY_CALL)).map((channel) => this.#seat(channel, taskId));
  }

  /** Who wants what goes to this topic, and has room for it. */
  #listeners(taskId: TaskId, topic: string): Channel[] {
    const { topics, liveness, members, channels } = this.#ports;
    // One that does not read what it got already is not there for more.
    const ready = (channel: Channel) => !channel.destroyed && !channel.outbound.isFull;
    if (liveness.isProcess(taskId)) {
      // What is for a process is for those who showed its token, whatever others subscribe to.
      return members
        .channelsOf(taskId)
        .filter(({ identity, subscriptions }) => {
          const isWorker = identity.role === 'worker';
          return isWorker && subscriptions.maxQos(topic) >= 0 && liveness.takesCommands(taskId, identity);
        })
        .filter(ready);
    }
    if (!liveness.takesCommands(taskId, undefined)) return [];
    // Net clients say by their subscription that they want it, registered or not.
    const base = topics.put(taskId);
    return [...channels()].filter((channel) => channel.subscriptions.namesTopic(topic, base)).filter(ready);
  }

  #seat(channel: Channel, taskId: TaskId): Seat {
    const { topics, liveness } = this.#ports;
    const { identity, subscriptions } = channel;
    const id = seatIdOf(channel);
    const anyCall = topics.workerCall(taskId, ANY_CALL);
    const isWorker = identity.role === 'worker';
    return {
      id,
      worker: isWorker ? seatOwner(identity) : id,
      name: isWorker ? workerIdOf(taskId, identity.instance, liveness.instances(taskId)) : channel.clientId || id,
      call: (callId, payload) => {
        if (channel.destroyed || channel.outbound.isFull) return false;
        publish(channel, topics.workerCall(taskId, callId), payload, anyCall);
        return !channel.destroyed;
      },
      cancel: (callId) => {
        // It may listen one level down only.
        const anyCancel = topics.workerCancel(taskId, ANY_CALL);
        if (subscriptions.maxQos(anyCancel) < 0) return;
        publish(channel, topics.workerCancel(taskId, callId), NOTHING, anyCancel);
      },
    };
  }
}

const NOTHING = new Uint8Array();

/** @param granted A topic whose subscription decides the QoS */
function publish(channel: Channel, topic: string, payload: Uint8Array, granted: string): void {
  channel.publish(topic, payload, channel.subscriptions.maxQos(granted) === 0 ? 0 : 1, () => undefined);
}

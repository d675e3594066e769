import { asSuperNodeError, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import {
  BROKER_ROOT,
  NOWHERE_ROOT,
  type TaskId,
  type TopicMeaning,
  type Topics,
  WORKER_REPORTS,
  type WorkerReport,
} from '../core/topics.js';
import type { RequestKind } from '../router/request.js';
import type { Channel, Identity } from './channel.js';
import type { Destination, Unsettled } from './channel-host.js';
import type { Members } from './members.js';
import type { Qos } from './packet-type.js';
import type { Answers, Intake, Liveness, PutOutcome, TransportReport } from './ports.js';
import type { Requests } from './requests.js';
import type { Routes } from './routes.js';
import { topicLevels } from './topic-filter.js';
import { seatIdOf } from './worker-lines.js';

/** Topics that no client may write, whatever the host allows: the broker's own. */
const BROKER_TOPICS = [BROKER_ROOT, '$share/', NOWHERE_ROOT];

const REPORT_BYTES_MAX = 16;
const SHOWN_TOPIC_CHARS = 200;

export interface DestinationsPorts {
  readonly topics: Topics;
  readonly routes: Routes;
  readonly intake: Intake;
  readonly answers: Answers;
  readonly liveness: Liveness;
  readonly requests: Requests;
  readonly members: Members;
  readonly report: TransportReport;
  refuse(channel: Channel, error: SuperNodeError): void;
}

/** What becomes of a publish: the broker's, an entry, a report, a request, or a refusal that says why. */
export class Destinations {
  readonly #ports: DestinationsPorts;
  /** Last wills that wait for room in their queues. */
  #willsHeld = 0;

  constructor(ports: DestinationsPorts) {
    this.#ports = ports;
  }

  of(channel: Channel, topic: string): Destination {
    if (topic.length > LIMITS.topicLevelsMax && topicLevels(topic) > LIMITS.topicLevelsMax) {
      return this.#refusal(topic, 'SN_ERR_TOPIC', `expected at most ${LIMITS.topicLevelsMax} levels`);
    }
    const meaning = this.#ports.topics.meaning(topic);
    return meaning.kind === 'free' ? this.#free(topic) : this.#ours(channel, topic, meaning);
  }

  /** A last will, which the broker publishes by itself. On a topic of ours the connection's end is known already, and
   *  what is left is a last put. True: the broker may go on with it. */
  will(channel: Channel, topic: string, payload: Buffer, qos: Qos): boolean {
    const destination = this.of(channel, topic);
    if (destination.kind === 'broker') {
      for (const copy of destination.copy?.(payload, qos) ?? []) this.#lastPut(channel, copy);
      return true;
    }
    const meaning = this.#ports.topics.meaning(topic);
    if (meaning.kind === 'put') {
      this.#lastPut(channel, destination.accept(channel, payload, qos));
    } else if (meaning.kind !== 'report') {
      const expected = 'expected w/ch/<task>, w/ch/<task>/state or a topic of your own';
      this.#refuseWill(channel, 'SN_ERR_FORBIDDEN', `${expected}, got ${JSON.stringify(shown(topic))}`);
    }
    return false;
  }

  /** Nobody waits for its acknowledgement, yet it waits for room like any other, as long as those are not too many. */
  #lastPut(channel: Channel, put: PutOutcome): void {
    if (put === undefined) return;
    if (!('giveUp' in put)) {
      put.catch((error: Error) => this.#refuseWill(channel, 'SN_ERR_INTERNAL', error.message));
    } else if (this.#willsHeld < LIMITS.heldWillsMax) {
      this.#willsHeld += 1;
      put.done.then(() => {
        this.#willsHeld -= 1;
      });
    } else if (put.giveUp()) {
      const expected = `expected room in the queue, or fewer than ${LIMITS.heldWillsMax} last wills that wait for it`;
      this.#refuseWill(channel, 'SN_ERR_LIMIT', expected);
    }
  }

  #refuseWill({ clientId }: Channel, code: SuperNodeError['code'], why: string): void {
    this.#ports.report.event('refused', { client_id: clientId, error: `last will: ${why}`, code });
  }

  #free(topic: string): Destination {
    if (BROKER_TOPICS.some((root) => topic.startsWith(root))) {
      return this.#refusal(topic, 'SN_ERR_FORBIDDEN', 'only the broker writes here');
    }
    const taskIds = this.#ports.routes.tasksFor(topic);
    if (taskIds.length === 0) return { kind: 'broker', copy: undefined };
    return {
      kind: 'broker',
      copy: (payload, qos) => {
        const unsettled: Unsettled[] = [];
        for (const taskId of taskIds) {
          const outcome = this.#routed(taskId, payload, qos, topic);
          if (outcome !== undefined) unsettled.push(outcome);
        }
        return unsettled;
      },
    };
  }

  #ours(channel: Channel, topic: string, meaning: Exclude<TopicMeaning, { kind: 'free' }>): Destination {
    const { identity } = channel;
    switch (meaning.kind) {
      case 'node':
        return this.#refusal(topic, 'SN_ERR_FORBIDDEN', 'only the node writes here');
      case 'unknown':
        return this.#refusal(topic, 'SN_ERR_TOPIC', meaning.why);
      case 'put':
      case 'report':
      case 'answer':
        if (identity.role === 'worker' && identity.taskId !== meaning.taskId) {
          return this.#refusal(topic, 'SN_ERR_FORBIDDEN', `expected the own task ${identity.taskId}`);
        }
        if (meaning.kind === 'put') return this.#put(topic, meaning.taskId);
        return meaning.kind === 'answer' ? this.#answer(meaning) : this.#report(topic, meaning.taskId);
      case 'cmd':
      case 'ack':
        return this.#request(meaning.kind, undefined);
      case 'task-cmd':
      case 'fetch':
      case 'stat':
        return this.#request(meaning.kind, meaning.taskId);
    }
  }

  #put(topic: string, taskId: TaskId): Destination {
    try {
      const sink = this.#ports.intake.sink(taskId);
      return {
        kind: 'node',
        accept: ({ identity }, payload, qos) => sink.put(payload, qos, undefined, instanceOf(identity)),
      };
    } catch (thrown) {
      const error = asSuperNodeError(thrown);
      return this.#refusal(topic, error.code, error.message);
    }
  }

  /** Whose call it is is for the answers to judge: they know which connection has it. */
  #answer({ taskId, callId, part: kind }: TopicMeaning & { kind: 'answer' }): Destination {
    const { answers } = this.#ports;
    return {
      kind: 'node',
      accept: (channel, payload) => answers.answer(seatIdOf(channel), { taskId, callId, kind, payload }),
    };
  }

  #report(topic: string, taskId: TaskId): Destination {
    const { members, liveness, refuse } = this.#ports;
    return taken((channel, payload) => {
      const word = payload.length <= REPORT_BYTES_MAX ? payload.toString('utf8').trim() : '';
      if (!isReport(word)) {
        const got = JSON.stringify(payload.toString('utf8', 0, 60));
        const error = `${topic}: expected one of ${WORKER_REPORTS.join(', ')}, got ${got}`;
        refuse(channel, new SuperNodeError('SN_ERR_REQUEST', error));
        return;
      }
      if (channel.identity.role !== 'worker' && !members.register(channel, taskId)) return;
      liveness.report(taskId, channel.id, word);
    });
  }

  #request(kind: RequestKind, taskId: TaskId | undefined): Destination {
    return taken((channel, payload) => this.#ports.requests.run(channel, kind, taskId, payload));
  }

  #refusal(topic: string, code: SuperNodeError['code'], why: string): Destination {
    const error = new SuperNodeError(code, `${shown(topic)}: ${why}`);
    return taken((channel) => this.#ports.refuse(channel, error));
  }

  #routed(taskId: TaskId, payload: Buffer, qos: Qos, topic: string): PutOutcome {
    try {
      return this.#ports.intake.sink(taskId).put(payload, qos, topic);
    } catch (thrown) {
      const error = asSuperNodeError(thrown);
      this.#ports.report.event('refused', { error: error.message, code: error.code, topic }, taskId);
      return undefined;
    }
  }
}

/** Taken by the node at once, whatever comes of it. */
function taken(act: (channel: Channel, payload: Buffer) => void): Destination {
  return {
    kind: 'node',
    accept: (channel, payload) => {
      act(channel, payload);
      return undefined;
    },
  };
}

function shown(topic: string): string {
  return topic.slice(0, SHOWN_TOPIC_CHARS);
}

function instanceOf(identity: Identity): number | undefined {
  return identity.role === 'worker' ? identity.instance : undefined;
}

function isReport(word: string): word is WorkerReport {
  return WORKER_REPORTS.some((known) => known === word);
}

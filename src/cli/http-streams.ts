import { LIMITS } from '../core/limits.js';
import { Deadline } from './deadline.js';
import { EventReader, type ServerEvent } from './event-reader.js';
import { asFailure, EXIT, Failure } from './failure.js';
import type { HttpAnswer, HttpPeer } from './http-peer.js';
import type { Lifetime } from './lifetime.js';
import type { Envelope, Listener, Missed, NodeAddress } from './node-client.js';
import { payloadBytes } from './payload.js';
import { fieldsOf, numberOf } from './reply-data.js';
import { lost, noAnswer } from './unreachable.js';

/** A stream that says nothing for so long, not even that it is alive, is lost. */
const SILENCE_MS = 3 * LIMITS.sseHeartbeatMs;
/** Each task has a stream of its own, which is a connection. */
const STREAMS_MAX = 256;

export interface Heard {
  readonly listener: Listener;
  readonly missed: Missed | undefined;
}

/** What a node tells everybody, as server-sent events. When one stream ends, all is over: none is taken up again. */
export class HttpStreams {
  readonly #peer: HttpPeer;
  readonly #lifetime: Lifetime;
  readonly #address: NodeAddress;

  constructor(peer: HttpPeer, lifetime: Lifetime, address: NodeAddress) {
    this.#peer = peer;
    this.#lifetime = lifetime;
    this.#address = address;
  }

  /** Resolves once nothing more is missed.
   *  @throws Failure with exit code 1 when the node refuses it, 3 when it cannot be opened */
  async open(topic: string, heard: Heard): Promise<void> {
    const path = `/${topic}`;
    const { timeoutMs } = this.#address;
    const deadline = new Deadline(this.#lifetime, timeoutMs, () => noAnswer(this.#address, path, timeoutMs));
    const headers = { accept: 'text/event-stream' };
    const question = { method: 'GET', path, headers, signal: deadline.signal, isStream: true } as const;
    try {
      const answer = await this.#peer.ask(question);
      if (!answer.is('text/event-stream')) throw refusal(await answer.envelope());
      deadline.stop();
      this.#read(answer, (event) => take(topic, event, heard))
        .catch((thrown) => this.#lifetime.fail(asFailure(thrown)))
        .finally(() => deadline.end());
    } catch (thrown) {
      deadline.end();
      throw thrown;
    }
  }

  /** The same for each task, also those that come into being: events tell of them. Their first messages may be missed.
   *  @param topicOf Of a task
   *  @param tasks Those there are
   *  @throws Failure as `open`, and with exit code 1 for too many tasks */
  async openAll(topicOf: (task: string) => string, tasks: () => Promise<readonly string[]>, heard: Heard) {
    const known = new Set<string>();
    const add = async (task: string) => {
      if (known.has(task)) return;
      known.add(task);
      if (known.size > STREAMS_MAX) {
        const message = `expected at most ${STREAMS_MAX} tasks to listen to over HTTP, got more; name one, or use mqtt://`;
        throw new Failure(EXIT.refused, message);
      }
      await this.open(topicOf(task), heard);
    };
    const listener: Listener = async (_topic, payload) => {
      const { task_id: task } = fieldsOf(JSON.parse(payload.toString('utf8')));
      if (typeof task === 'string') add(task).catch((thrown) => this.#lifetime.fail(asFailure(thrown)));
    };
    await this.open('m/event', { listener, missed: undefined });
    await Promise.all((await tasks()).map(add));
  }

  /** @throws Failure with exit code 3 at its end, and what taking an event threw */
  async #read(answer: HttpAnswer, takeEvent: (event: ServerEvent) => Promise<void>): Promise<never> {
    const reader = new EventReader();
    const chunks = answer.chunks();
    try {
      for (;;) {
        // While an event is taken nothing is read, so that no silence counts.
        const timer = setTimeout(() => answer.destroy(), SILENCE_MS);
        const { done, value } = await chunks.next().finally(() => clearTimeout(timer));
        if (done) throw lost(this.#address);
        for (const event of reader.push(value)) await takeEvent(event);
      }
    } finally {
      answer.destroy();
    }
  }
}

function refusal({ error = 'expected a stream of events, got none', code }: Envelope): Failure {
  return new Failure(EXIT.refused, error, { code });
}

async function take(topic: string, { type, data }: ServerEvent, { listener, missed }: Heard): Promise<void> {
  if (type === 'gap') await missed?.(numberOf(fieldsOf(JSON.parse(data)).missed) ?? 0);
  else if (type === 'message') await listener(topic, payloadOf(topic, data), false);
}

/** The message that the data of an event stands for. */
function payloadOf(topic: string, data: string): Buffer {
  if (topic.startsWith('m/data/')) return payloadBytes(fieldsOf(JSON.parse(data)));
  // A line of output holds no LF; an event stream has made one of each CR.
  return Buffer.from(topic.startsWith('m/log/') ? data.replaceAll('\n', '\r') : data);
}

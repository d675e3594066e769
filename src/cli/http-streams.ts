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

const OF_ALL = new Set(['m/data', 'm/log']);

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
  else if (type === 'message') await listener(topicOf(topic, data), payloadOf(topic, data), false);
}

/** On a path of all tasks each message says of which it is. */
function topicOf(topic: string, data: string): string {
  return OF_ALL.has(topic) ? `${topic}/${String(fieldsOf(JSON.parse(data)).task_id)}` : topic;
}

/** The message that the data of an event stands for. */
function payloadOf(topic: string, data: string): Buffer {
  if (topic.startsWith('m/data')) return payloadBytes(fieldsOf(JSON.parse(data)));
  if (topic === 'm/log') return Buffer.from(String(fieldsOf(JSON.parse(data)).line));
  // A line of output holds no LF; an event stream has made one of each CR.
  return Buffer.from(topic.startsWith('m/log/') ? data.replaceAll('\n', '\r') : data);
}

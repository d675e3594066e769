import { SuperNodeError } from '../core/errors.js';

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
}

/** Hands one message to the connection; `done` is called once, when it is acknowledged (QoS 0: written). */
export type Publish = (message: Message, done: (error?: Error | null) => void) => void;

interface Held {
  readonly message: Message;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Messages that are not acknowledged yet, in their order.
 *
 *  waiting (no connection) → under way (the MQTT client resends them) → acknowledged
 *
 *  Only what is under way is given to mqtt.js: it drops what is published while it resends its own backlog and the
 *  connection goes once more. When full, the newest is refused. */
export class Outbox {
  readonly #publish: Publish;
  readonly #countMax: number;
  readonly #bytesMax: number;
  readonly #waiting: Held[] = [];
  readonly #underWay = new Set<Held>();
  readonly #whenEmpty: (() => void)[] = [];
  #bytes = 0;
  #online = false;
  #closed: Error | undefined;

  constructor(publish: Publish, countMax: number, bytesMax: number) {
    this.#publish = publish;
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  /** Resolves when the message is acknowledged.
   *  @throws SuperNodeError SN_ERR_LIMIT when full; what `close` was given */
  async add(message: Message): Promise<void> {
    if (this.#closed) throw this.#closed;
    const count = this.#waiting.length + this.#underWay.size;
    if (count >= this.#countMax || this.#bytes + message.payload.length > this.#bytesMax) {
      throw new SuperNodeError(
        'SN_ERR_LIMIT',
        `put: expected at most ${this.#countMax} puts and ${this.#bytesMax} bytes without acknowledgement, got one more`,
      );
    }
    this.#bytes += message.payload.length;
    await new Promise<void>((resolve, reject) => {
      const held = { message, resolve, reject };
      if (this.#online) this.#send(held);
      else this.#waiting.push(held);
    });
  }

  /** The connection is up and works: what waits goes out. */
  online(): void {
    this.#online = true;
    for (const held of this.#waiting.splice(0)) this.#send(held);
  }

  offline(): void {
    this.#online = false;
  }

  /** Resolves as soon as everything is acknowledged, or the outbox closed. */
  empty(): Promise<void> {
    if (this.#waiting.length + this.#underWay.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
    });
  }

  /** Rejects everything held, and whatever comes. Idempotent. */
  close(error: Error): void {
    this.#closed ??= error;
    for (const held of [...this.#waiting.splice(0), ...this.#underWay]) this.#end(held, this.#closed);
  }

  #send(held: Held): void {
    this.#underWay.add(held);
    this.#publish(held.message, (error) => this.#end(held, error ?? undefined));
  }

  #end(held: Held, error: Error | undefined): void {
    this.#underWay.delete(held);
    this.#bytes -= held.message.payload.length;
    if (error) held.reject(error);
    else held.resolve();
    if (this.#waiting.length + this.#underWay.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }
}

import { EXIT, Failure } from './failure.js';
import type { NodeClient } from './node-client.js';

/** Puts on their way, and their bytes: so many keep the node busy over a slow link, and fit what it holds back of one
 *  connection. One is always allowed. */
const PUTS_MAX = 256;
const BYTES_MAX = 1_048_576;

/** Topic length, packet id, and the fixed header at its longest [MQTT-2.2.3]. */
const HEADER_BYTES = 2 + 2 + 5;

/** Puts to one task, several on their way at a time. Acknowledgements come in their order. */
export class PutWindow {
  /** Acknowledged so far, and the bytes of their payloads. */
  entries = 0;
  bytes = 0;
  /** Where the last of them came from; 0 before the first. */
  line = 0;
  readonly #node: NodeClient;
  readonly #topic: string;
  #underWay = 0;
  #underWayBytes = 0;
  #failed: { readonly why: unknown } | undefined;
  #wake: () => void = () => undefined;
  #lastMs = performance.now();

  constructor(node: NodeClient, topic: string) {
    this.#node = node;
    this.#topic = topic;
  }

  /** What a packet holds beside the payload, at most. */
  get overheadBytes(): number {
    return HEADER_BYTES + Buffer.byteLength(this.#topic);
  }

  /** How long some have been on their way without an acknowledgement; 0 when none is. */
  get idleMs(): number {
    return this.#underWay === 0 ? 0 : performance.now() - this.#lastMs;
  }

  /** Sends it once there is room in the window.
   *  @throws Failure when one before it was refused, or the connection is gone */
  async put(payload: Buffer, line: number): Promise<void> {
    await this.#until(() => this.#underWay < PUTS_MAX && this.#underWayBytes + payload.length <= BYTES_MAX);
    if (this.#underWay === 0) this.#lastMs = performance.now();
    this.#underWay += 1;
    this.#underWayBytes += payload.length;
    this.#node.put(this.#topic, payload).then(
      () => this.#acknowledged(payload.length, line),
      (why) => {
        this.#failed ??= { why: placed(why, line) };
        this.#wake();
      },
    );
  }

  /** Waits until all are acknowledged.
   *  @throws Failure as `put` */
  drain(): Promise<void> {
    return this.#until(() => false);
  }

  #acknowledged(bytes: number, line: number): void {
    this.#underWay -= 1;
    this.#underWayBytes -= bytes;
    this.#lastMs = performance.now();
    this.entries += 1;
    this.bytes += bytes;
    this.line = line;
    this.#wake();
  }

  async #until(hasRoom: () => boolean): Promise<void> {
    while (!this.#failed && this.#underWay > 0 && !hasRoom()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failed) throw this.#failed.why;
  }
}

/** One that is too large is the fault of its line. */
function placed(why: unknown, line: number): unknown {
  if (!(why instanceof Failure) || why.exitCode !== EXIT.usage) return why;
  return new Failure(why.exitCode, `line ${line}: ${why.message}`, { code: why.code });
}

import { deferred } from '../core/deferred.js';
import { SuperNodeError } from '../core/errors.js';

/** Puts that wait for their flush, and are told when the disk cannot be written: whoever asks over HTTP is not kept
 *  waiting until it can. */
export class FlushWaits {
  readonly #waiting = new Set<(error: SuperNodeError) => void>();
  #last: { readonly flushed: Promise<void>; readonly wait: Promise<void> } | undefined;

  /** Settles as `flushed` does, or rejects once the disk fails. Puts of one flush share it.
   *  @throws SuperNodeError SN_ERR_STORAGE */
  wait(flushed: Promise<void>): Promise<void> {
    if (this.#last?.flushed === flushed) return this.#last.wait;
    const { promise, resolve, reject } = deferred();
    this.#waiting.add(reject);
    // Of several that one put waits for, it may await the last alone.
    promise.catch(() => undefined);
    const done = () => this.#waiting.delete(reject);
    flushed.then(
      () => {
        done();
        resolve();
      },
      (error: unknown) => {
        done();
        reject(error);
      },
    );
    this.#last = { flushed, wait: promise };
    return promise;
  }

  /** The disk cannot be written. */
  failed(error: string): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#last = undefined;
    for (const reject of waiting) reject(storageFailed(error));
  }
}

export function storageFailed(error: string): SuperNodeError {
  return new SuperNodeError('SN_ERR_STORAGE', `the disk: expected to be writable, got ${error}`);
}

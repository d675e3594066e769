import type { Failure } from './failure.js';

type Reject = (failure: Failure) => void;

/** How long the way to a node lasts: until its first failure, which all who wait for something of it are told. */
export class Lifetime {
  readonly ended: Promise<never>;
  readonly #rejections = new Set<Reject>();
  #failure: Failure | undefined;
  #reject: Reject = nothing;

  constructor() {
    this.ended = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.ended.catch(nothing);
  }

  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** Ends it. Of several failures the first one counts. */
  fail(failure: Failure): void {
    if (this.#failure) return;
    this.#failure = failure;
    for (const reject of this.#rejections) reject(failure);
    this.#reject(failure);
  }

  /** What follows is told this, but nobody now. */
  close(failure: Failure): void {
    this.#failure ??= failure;
  }

  /** Is told of the failure, at once where there is one already.
   *  @returns Takes that back */
  onFailure(reject: Reject): () => void {
    if (this.#failure) reject(this.#failure);
    this.#rejections.add(reject);
    return () => this.#rejections.delete(reject);
  }

  /** The same promise, but no longer than this lasts. Without `Promise.race`: each race would stay tied to `ended`, with
   *  what it gave.
   *  @throws Failure as `ended` */
  within<T>(work: Promise<T>): Promise<T> {
    let forget: () => void = nothing;
    const bounded = new Promise<T>((resolve, reject) => {
      forget = this.onFailure(reject);
      work.then(resolve, reject);
    });
    return bounded.finally(() => forget());
  }
}

function nothing(): void {
  // Nobody waits for this.
}

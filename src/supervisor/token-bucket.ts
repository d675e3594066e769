/** What may be used: so much at once, and so much a second after that. Full when it is made. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #lastMs: number | undefined;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
  }

  /** What is in it now; below nothing where more was taken than there was.
   *  @param nowMs Monotonic, milliseconds */
  filled(nowMs: number): number {
    const seconds = (nowMs - (this.#lastMs ?? nowMs)) / 1_000;
    this.#lastMs = nowMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + seconds * this.#perSecond);
    return this.#tokens;
  }

  take(tokens: number): void {
    this.#tokens -= tokens;
  }

  giveBack(tokens: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + tokens);
  }
}

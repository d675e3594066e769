/** A call under way, and how much of its answer the node has not acknowledged yet. */
export class RunningCall {
  readonly id: string;
  readonly #controller = new AbortController();
  #parts = 0;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(id: string) {
    this.id = id;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(why: string): void {
    this.#controller.abort(new DOMException(`call ${this.id}: ${why}`, 'AbortError'));
    this.#wake?.();
  }

  sent(bytes: number): void {
    this.#parts += 1;
    this.#bytes += bytes;
  }

  acknowledged(bytes: number): void {
    this.#parts -= 1;
    this.#bytes -= bytes;
    this.#wake?.();
  }

  /** Resolves when fewer parts and bytes than that are without acknowledgement, or the call is aborted. One part may
   *  always be under way, whatever its size. */
  async room(partsMax: number, bytesMax: number): Promise<void> {
    const full = () => this.#parts >= partsMax || (this.#parts > 0 && this.#bytes >= bytesMax);
    while (full() && !this.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Counts values by size, as a histogram of Prometheus. It has to be there before anybody scrapes, which the library need
 *  not: that costs memory. */
export class PlainHistogram {
  readonly #buckets: readonly number[];
  /** Values up to each bound and above the one before; the last are those above all. */
  readonly #counts: number[];
  #sum = 0;

  /** @param buckets Upper bounds, ascending */
  constructor(buckets: readonly number[]) {
    this.#buckets = buckets;
    this.#counts = new Array<number>(buckets.length + 1).fill(0);
  }

  observe(value: number): void {
    const found = this.#buckets.findIndex((bound) => value <= bound);
    const at = found < 0 ? this.#buckets.length : found;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  /** In the text exposition format of Prometheus. */
  text(name: string, help: string): string {
    let count = 0;
    const lines = this.#counts.map((own, at) => {
      count += own;
      return `${name}_bucket{le="${this.#buckets[at] ?? '+Inf'}"} ${count}`;
    });
    const head = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
    return `${[...head, ...lines, `${name}_sum ${this.#sum}`, `${name}_count ${count}`].join('\n')}\n`;
  }
}

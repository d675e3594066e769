const MINUTES = [1, 5, 15] as const;
const MS_PER_MINUTE = 60_000;

/** What came in a minute, on average over the last one, five and fifteen: falling off as the load of a Unix system does,
 *  and as Mosquitto tells it. */
export class LoadAverage {
  readonly #averages = MINUTES.map((minutes) => ({ minutes, perMinute: 0 }));
  #last = 0;

  /** @param total Counted so far
   *  @param elapsedMs Since the last look */
  look(total: number, elapsedMs: number): void {
    if (elapsedMs <= 0) return;
    const perMinute = ((total - this.#last) * MS_PER_MINUTE) / elapsedMs;
    this.#last = total;
    for (const average of this.#averages) {
      const kept = Math.exp(-elapsedMs / (average.minutes * MS_PER_MINUTE));
      average.perMinute = perMinute + kept * (average.perMinute - perMinute);
    }
  }

  /** By `1min`, `5min` and `15min`. */
  values(): readonly (readonly [name: string, perMinute: number])[] {
    return this.#averages.map(({ minutes, perMinute }) => [`${minutes}min`, perMinute]);
  }
}

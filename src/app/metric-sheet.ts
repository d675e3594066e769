import { Counter, Gauge, Registry } from 'prom-client';
import { METRICS, type MetricDefinition, type SheetMetric } from './metric-list.js';

export type Labels = Readonly<Record<string, string>>;

/** Gauges and counters of one node, filled anew for each scrape. */
export class MetricSheet {
  readonly #registry = new Registry();
  readonly #metrics = new Map<string, { reset(): void; write(labels: Labels, value: number): void }>();

  constructor() {
    for (const [name, definition] of Object.entries<MetricDefinition>(METRICS)) this.#define(name, definition);
  }

  /** Forgets what the last scrape said. */
  clear(): void {
    for (const metric of this.#metrics.values()) metric.reset();
  }

  set(name: SheetMetric, value: number, labels: Labels = {}): void {
    this.#metrics.get(name)?.write(labels, value);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #define(name: string, { type, labels, help }: MetricDefinition): void {
    const common = { name, help, labelNames: [...labels], registers: [this.#registry] };
    if (type === 'gauge') {
      const gauge = new Gauge(common);
      this.#metrics.set(name, { reset: () => gauge.reset(), write: (own, value) => gauge.set(own, value) });
    } else if (type === 'counter') {
      const counter = new Counter(common);
      this.#metrics.set(name, { reset: () => counter.reset(), write: (own, value) => counter.inc(own, value) });
    }
  }
}

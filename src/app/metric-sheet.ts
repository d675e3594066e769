import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { METRICS, type MetricDefinition, type MetricName } from './metric-list.js';

export type Labels = Readonly<Record<string, string>>;

/** The metrics of one node, filled anew for each scrape; only histograms are kept up all the time. */
export class MetricSheet {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #writable = new Map<string, { reset(): void; write(labels: Labels, value: number): void }>();
  readonly #histograms = new Map<string, Histogram>();

  constructor() {
    this.contentType = this.#registry.contentType;
    for (const [name, definition] of Object.entries<MetricDefinition>(METRICS)) this.#define(name, definition);
  }

  /** Forgets what the last scrape said. */
  clear(): void {
    for (const metric of this.#writable.values()) metric.reset();
  }

  set(name: MetricName, value: number, labels: Labels = {}): void {
    this.#writable.get(name)?.write(labels, value);
  }

  observe(name: MetricName, value: number): void {
    this.#histograms.get(name)?.observe(value);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #define(name: string, { type, labels, help, buckets = [] }: MetricDefinition): void {
    const common = { name, help, labelNames: [...labels], registers: [this.#registry] };
    if (type === 'histogram') {
      this.#histograms.set(name, new Histogram({ ...common, buckets: [...buckets] }));
    } else if (type === 'gauge') {
      const gauge = new Gauge(common);
      this.#writable.set(name, { reset: () => gauge.reset(), write: (own, value) => gauge.set(own, value) });
    } else {
      const counter = new Counter(common);
      this.#writable.set(name, { reset: () => counter.reset(), write: (own, value) => counter.inc(own, value) });
    }
  }
}

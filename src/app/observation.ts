import type { AedesAdapter } from '../adapters/aedes.js';
import type { Cancel, Clock } from '../core/ports.js';
import { BrokerFigures } from './broker-figures.js';
import { type MetricsPorts, NodeMetrics } from './metrics.js';
import { type Readiness, readiness } from './readiness.js';

export interface ObservationPorts extends MetricsPorts {
  readonly clock: Clock;
  adapter(): Pick<AedesAdapter, 'publish' | 'sessionsAway' | 'countRetained'>;
  /** Tasks of the config, by their id. */
  readonly configured: readonly string[];
  /** How often figures go to `$SYS/broker`. Seconds, 0: never. */
  readonly sysIntervalS: number;
}

/** Messages that a client should have got and did not: full, slow, or too much live data. */
const LOST_MESSAGES = ['session_full', 'slow_client', 'live_dropped'];

/** All that is there to look at a node from outside: metrics, readiness, and what the broker tells about itself. */
export class Observation {
  readonly metrics: NodeMetrics;
  /** `startTasks` is done. */
  tasksBegun = false;
  readonly #ports: ObservationPorts;
  readonly #broker: BrokerFigures;
  #retained = () => 0;
  #undo: Cancel | undefined;

  constructor(ports: ObservationPorts) {
    const { version, clock, hub, announced, sysIntervalS } = ports;
    this.#ports = ports;
    this.metrics = new NodeMetrics(ports);
    this.#broker = new BrokerFigures(
      {
        ...{ version, clock, hub },
        sessionsAway: () => ports.adapter().sessionsAway,
        retained: () => this.#retained(),
        dropped: () => LOST_MESSAGES.reduce((sum, type) => sum + (announced.counts.get(type) ?? 0), 0),
        publish: (message) => ports.adapter().publish(message),
      },
      sysIntervalS,
    );
  }

  /** Once the broker's hooks are ours. */
  start(): void {
    if (this.#ports.sysIntervalS === 0) return;
    const retained = this.#ports.adapter().countRetained();
    this.#retained = () => retained.size;
    this.#undo = retained.start();
    this.#broker.start();
  }

  /** While they still are. */
  stop(): void {
    this.#broker.stop();
    this.#undo?.();
    this.#undo = undefined;
  }

  /** @param listening Every listener of the config is open */
  readiness(listening: boolean): Readiness {
    const { storageErrors, configured, supervisor } = this.#ports;
    return readiness({
      storageErrors,
      listening: () => listening,
      tasksBegun: () => this.tasksBegun,
      configured: () => configured,
      statuses: () => supervisor.list(),
    });
  }
}

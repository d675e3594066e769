import type { AedesAdapter } from '../adapters/aedes.js';
import type { Calls } from '../calls/calls.js';
import type { ConfigWire } from '../core/config-schema.js';
import type { HttpFigures } from '../core/http-figures.js';
import type { Cancel, Clock } from '../core/ports.js';
import type { Hub } from '../transport/hub.js';
import type { Announcer } from './announcer.js';
import { BrokerFigures } from './broker-figures.js';
import { NodeMetrics } from './metrics.js';
import type { NodeQueues } from './node-queues.js';
import { type Readiness, readiness } from './readiness.js';
import type { SessionStore } from './session-store.js';
import type { TaskFiguresPorts } from './task-figures.js';

export interface ObservedParts extends Pick<TaskFiguresPorts, 'supervisor' | 'usage'> {
  readonly name: string;
  readonly version: string;
  readonly clock: Clock;
  readonly config: Pick<ConfigWire, 'tasks' | 'sys_interval'>;
  readonly storage: Pick<NodeQueues, 'queues' | 'disk'>;
  readonly store: Pick<SessionStore, 'error'> | undefined;
  readonly calls: Pick<Calls, 'totals' | 'late'>;
  readonly announcer: Pick<Announcer, 'counts' | 'restarts'>;
  readonly hub: Pick<Hub, 'connections' | 'subscriptions' | 'traffic'>;
  readonly web: { readonly httpFigures: HttpFigures };
  readonly adapter: Pick<AedesAdapter, 'publish' | 'sessionsAway' | 'countRetained'>;
}

/** Messages that a client should have got and did not: its session is full, it is slow, or there is too much live. */
const LOST_MESSAGES = ['session_full', 'slow_client', 'live_dropped'];

/** All by which a node is looked at from outside: metrics, readiness, and what the broker tells about itself. */
export class Observation {
  readonly metrics: NodeMetrics;
  /** `listening`: all listeners are open. `begun`: so are the tasks of the config. */
  phase: 'starting' | 'listening' | 'begun' | 'closing' = 'starting';
  readonly #parts: ObservedParts;
  readonly #broker: BrokerFigures;
  readonly #intervalS: number;
  #retained = () => 0;
  #undo: Cancel | undefined;

  constructor(parts: ObservedParts) {
    const { version, clock, config, storage, announcer, hub, web, adapter } = parts;
    this.#parts = parts;
    this.#intervalS = config.sys_interval ?? 0;
    this.metrics = new NodeMetrics({
      ...parts,
      queues: storage.queues,
      announced: announcer,
      hub: () => hub,
      storageErrors: () => this.#storageErrors(),
      http: () => web.httpFigures,
    });
    this.#broker = new BrokerFigures(
      {
        ...{ version, clock, hub: () => hub, retained: () => this.#retained() },
        sessionsAway: () => adapter.sessionsAway,
        dropped: () => LOST_MESSAGES.reduce((sum, type) => sum + (announcer.counts.get(type) ?? 0), 0),
        publish: (message) => adapter.publish(message),
      },
      this.#intervalS,
    );
  }

  /** Once the broker's hooks are ours. */
  start(): void {
    if (this.#intervalS === 0) return;
    const retained = this.#parts.adapter.countRetained();
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

  async scrape(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.metrics.contentType, text: await this.metrics.text() };
  }

  readiness(): Readiness {
    const { config, supervisor } = this.#parts;
    return readiness({
      listening: () => this.phase === 'listening' || this.phase === 'begun',
      tasksBegun: () => this.phase === 'begun',
      storageErrors: () => this.#storageErrors(),
      configured: () => (config.tasks ?? []).map(({ task_id }) => task_id),
      statuses: () => supervisor.list(),
    });
  }

  #storageErrors() {
    const { storage, store } = this.#parts;
    return { queues: storage.disk.error, sessions: store?.error };
  }
}

import type { OutgoingMessage } from '../adapters/aedes.js';
import type { Cancel, Clock } from '../core/ports.js';
import { BROKER_ROOT } from '../core/topics.js';
import { LoadAverage } from './load-averages.js';
import type { HubFigures } from './metrics.js';

export interface BrokerFiguresPorts {
  readonly version: string;
  readonly clock: Pick<Clock, 'now' | 'every'>;
  hub(): HubFigures;
  /** Stored sessions whose client is not connected. */
  sessionsAway(): number;
  retained(): number;
  /** Messages that a client should have got and did not. */
  dropped(): number;
  publish(message: OutgoingMessage): void;
}

const ROOT = `${BROKER_ROOT}broker/`;

/** What the broker tells about itself below `$SYS/broker`, by the names that Mosquitto gave them (mosquitto(8), "BROKER
 *  STATUS"): retained, at QoS 0, each when it changed. No wildcard at the beginning of a filter reaches it, and it is not
 *  written to the disk. */
export class BrokerFigures {
  readonly #ports: BrokerFiguresPorts;
  readonly #intervalMs: number;
  readonly #loads = new Map<string, LoadAverage>();
  readonly #told = new Map<string, string>();
  #startedMs = 0;
  #lookedMs = 0;
  #cancel: Cancel | undefined;

  /** @param intervalS 0: nothing is told */
  constructor(ports: BrokerFiguresPorts, intervalS: number) {
    this.#ports = ports;
    this.#intervalMs = intervalS * 1_000;
  }

  start(): void {
    if (this.#intervalMs === 0 || this.#cancel !== undefined) return;
    const { clock, version } = this.#ports;
    this.#startedMs = clock.now();
    this.#lookedMs = this.#startedMs;
    this.#tell('version', `super-node ${version}`);
    this.#look();
    this.#cancel = clock.every(this.#intervalMs, () => this.#look());
  }

  /** A broker that goes on without the node has nothing of this any more. */
  stop(): void {
    if (this.#cancel === undefined) return;
    this.#cancel();
    this.#cancel = undefined;
    for (const name of this.#told.keys()) this.#publish(name, '');
    this.#told.clear();
  }

  #look(): void {
    const { clock, hub, sessionsAway, retained, dropped } = this.#ports;
    const nowMs = clock.now();
    const { connections, subscriptions, traffic } = hub();
    const away = sessionsAway();
    this.#tell('uptime', `${Math.floor((nowMs - this.#startedMs) / 1_000)} seconds`);
    const counts = {
      'clients/connected': connections,
      'clients/active': connections,
      'clients/disconnected': away,
      'clients/inactive': away,
      'clients/total': connections + away,
      'clients/maximum': traffic.connectionsPeak,
      'subscriptions/count': subscriptions,
      'retained messages/count': retained(),
      'messages/received': traffic.messagesReceived,
      'messages/sent': traffic.messagesSent,
      'bytes/received': traffic.bytesReceived,
      'bytes/sent': traffic.bytesSent,
      'publish/messages/received': traffic.publishesReceived,
      'publish/messages/sent': traffic.publishesSent,
      'publish/messages/dropped': dropped(),
    };
    for (const [name, value] of Object.entries(counts)) this.#tell(name, String(value));
    const loads = {
      'messages/received': traffic.messagesReceived,
      'messages/sent': traffic.messagesSent,
      'bytes/received': traffic.bytesReceived,
      'bytes/sent': traffic.bytesSent,
      'publish/received': traffic.publishesReceived,
      'publish/sent': traffic.publishesSent,
      connections: traffic.connectionsOpened,
    };
    for (const [name, total] of Object.entries(loads)) this.#tellLoad(name, total, nowMs - this.#lookedMs);
    this.#lookedMs = nowMs;
  }

  #tellLoad(name: string, total: number, elapsedMs: number): void {
    const load = this.#loads.get(name) ?? new LoadAverage();
    this.#loads.set(name, load);
    load.look(total, elapsedMs);
    for (const [span, perMinute] of load.values()) this.#tell(`load/${name}/${span}`, perMinute.toFixed(2));
  }

  #tell(name: string, payload: string): void {
    if (this.#told.get(name) === payload) return;
    this.#told.set(name, payload);
    this.#publish(name, payload);
  }

  #publish(name: string, payload: string): void {
    this.#ports.publish({ topic: ROOT + name, payload, qos: 0, retain: true });
  }
}

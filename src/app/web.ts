import { answerIn, callText, cancelText } from '../calls/stdin-lines.js';
import type { HttpFigures } from '../core/http-figures.js';
import type { Random } from '../core/ports.js';
import { BodyBudget } from '../http/bodies.js';
import { Feeds } from '../http/feeds.js';
import { Figures } from '../http/figures.js';
import { FlushWaits } from '../http/flush-waits.js';
import type { HttpPorts, ListenerAddress } from '../http/ports.js';
import type { HttpServer } from '../http/server.js';
import { EventStreams } from '../http/sse.js';
import { WorkerSockets } from '../http/worker-sockets.js';
import type { ListenerNames } from '../transport/origin.js';
import type { Answers, Liveness } from '../transport/ports.js';

type Made = 'listeners' | 'figures' | 'streams' | 'workers' | 'flushes' | 'bodies' | 'isClosing';

export interface WebParts extends Omit<HttpPorts, Made> {
  readonly random: Random;
  readonly answers: Answers;
  readonly liveness: Liveness;
}

/** What a node has to do with HTTP, whichever listeners there are: none is needed. */
export class Web {
  readonly feeds: Feeds;
  readonly figures = new Figures();
  readonly workers: WorkerSockets;
  readonly streams: EventStreams;
  readonly #flushes = new FlushWaits();
  readonly #ports: HttpPorts;
  /** Of the node, once all are open. */
  listeners: readonly ListenerAddress[] = [];
  readonly #servers: HttpServer[] = [];
  #isClosing = false;

  constructor(parts: WebParts) {
    const { clock, random, prefix } = parts;
    this.feeds = new Feeds({ clock, random, prefix });
    this.streams = new EventStreams({ clock, feeds: this.feeds });
    this.workers = new WorkerSockets({
      ...parts,
      figures: this.figures,
      lines: { answerIn, call: callText, cancel: cancelText },
    });
    this.#ports = {
      ...parts,
      listeners: () => this.listeners,
      figures: this.figures,
      streams: this.streams,
      workers: this.workers,
      flushes: this.#flushes,
      bodies: new BodyBudget(),
      isClosing: () => this.#isClosing,
    };
  }

  /** A server for a listener. What serves is loaded only now: a node without one is smaller and starts faster. */
  async server(names: ListenerNames): Promise<HttpServer> {
    const { createHttpServer } = await import('../http/server.js');
    const server = await createHttpServer(this.#ports, names);
    this.#servers.push(server);
    return server;
  }

  /** Open connections that last, beside those of MQTT. */
  get connections(): number {
    return this.figures.sockets + this.streams.listeners;
  }

  /** What is counted, for the metrics. */
  get httpFigures(): HttpFigures {
    const { requests, bytesReceived, bytesSent, sockets } = this.figures;
    return { requests, bytesReceived, bytesSent, sockets, listeners: this.streams.listeners };
  }

  /** The disk cannot be written. */
  diskFailed(error: string): void {
    this.#flushes.failed(error);
  }

  /** Takes no further requests; those under way are answered. */
  closing(): void {
    this.#isClosing = true;
  }

  /** Ends what lasts, and then, politely, the servers. */
  async stop(): Promise<void> {
    this.closing();
    this.streams.stop();
    this.workers.stop();
    await Promise.all(this.#servers.map((server) => server.close()));
  }
}

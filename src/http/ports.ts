import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Logger } from '../core/ports.js';
import type { TaskId } from '../core/topics.js';
import type { Intake, RequestHandler, TransportReport } from '../transport/ports.js';
import type { WorkerIdentity } from './access.js';
import type { BodyBudget } from './bodies.js';
import type { Figures } from './figures.js';
import type { FlushWaits } from './flush-waits.js';
import type { EventStreams } from './sse.js';
import type { WorkerSockets } from './worker-sockets.js';

/** Whether the node can do its work, for who starts and watches it. */
interface Readiness {
  readonly ready: boolean;
  readonly checks: Record<string, unknown>;
}

/** Where a listener is. */
export interface ListenerAddress {
  readonly type: 'mqtt' | 'http';
  readonly host: string;
  readonly port: number;
}

/** What HTTP needs from the house it stands in. All listeners of a node share it. */
export interface HttpPorts {
  readonly name: string;
  readonly version: string;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: { readonly packetBytesMax: number; readonly connectionsMax: number };
  readonly handler: RequestHandler;
  readonly intake: Intake;
  readonly report: TransportReport;
  readonly streams: EventStreams;
  readonly workers: WorkerSockets;
  readonly bodies: BodyBudget;
  readonly flushes: FlushWaits;
  readonly figures: Figures;
  /** Why nothing can be put into the queue of a task; undefined: it can. */
  storageError(taskId: TaskId): string | undefined;
  /** Undefined: not a token of a running worker. */
  identify(username: string, token: string): WorkerIdentity | undefined;
  /** Hands a connection on `/mqtt` to the node. */
  mqtt(stream: Duplex, request: IncomingMessage): void;
  /** The figures of the node, in Prometheus' text format. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  readiness(): Readiness;
  /** What `m/info` says. */
  info(): Readonly<Record<string, unknown>>;
  /** Of the node; empty until all are open. */
  listeners(): readonly ListenerAddress[];
  /** Nothing new is begun. */
  isClosing(): boolean;
}

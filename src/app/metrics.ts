import type { Calls } from '../calls/calls.js';
import type { HttpFigures } from '../core/http-figures.js';
import { LIMITS } from '../core/limits.js';
import type { Clock } from '../core/ports.js';
import { RESTART_CAUSES } from '../core/restart-causes.js';
import { DROP_POLICIES, type QueueCounts } from '../queues/queue-counts.js';
import type { Traffic } from '../transport/traffic.js';
import { METRICS, type SheetMetric } from './metric-list.js';
import type { MetricSheet } from './metric-sheet.js';
import { PlainHistogram } from './plain-histogram.js';
import { type TaskFiguresPorts, taskFigures } from './task-figures.js';
import { type StateCounts, type TaskFigures, type TaskGauges, TaskSeries, type TaskState } from './task-series.js';

export interface MetricsPorts extends TaskFiguresPorts {
  readonly name: string;
  readonly version: string;
  readonly clock: Pick<Clock, 'now' | 'wallNow'>;
  readonly queues: TaskFiguresPorts['queues'] & { readonly bytes: number; readonly counts: QueueCounts };
  readonly calls: Pick<Calls, 'totals' | 'late'>;
  readonly announced: AnnouncedCounts;
  hub(): HubFigures;
  /** Why a store cannot be read or written; undefined: it can. */
  storageErrors(): Readonly<Record<'queues' | 'sessions', string | undefined>>;
  /** Undefined: there is no HTTP. */
  http(): HttpFigures | undefined;
}

interface AnnouncedCounts {
  /** Events so far, by type. */
  readonly counts: ReadonlyMap<string, number>;
  /** Restarts so far, by cause. */
  readonly restarts: ReadonlyMap<string, number>;
}

export interface HubFigures {
  readonly connections: number;
  readonly subscriptions: number;
  readonly traffic: Readonly<Traffic>;
}

const NO_HTTP: HttpFigures = { requests: new Map(), bytesReceived: 0, bytesSent: 0, listeners: 0, sockets: 0 };

/** The node as Prometheus sees it. What is counted anyway is read at the scrape; scrapes that come at the same time get
 *  the same text. */
export class NodeMetrics {
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  readonly #ports: MetricsPorts;
  readonly #flushSeconds = new PlainHistogram(METRICS.supernode_store_flush_duration_seconds.buckets);
  readonly #flushEntries = new PlainHistogram(METRICS.supernode_store_flush_entries.buckets);
  #sheet: MetricSheet | undefined;
  readonly #series: TaskSeries;
  readonly #startedWallMs: number;
  #underWay: Promise<string> | undefined;

  /** @param tasksMax Tasks with series of their own */
  constructor(ports: MetricsPorts, tasksMax: number = LIMITS.metricTasksMax) {
    this.#ports = ports;
    this.#series = new TaskSeries(tasksMax);
    this.#startedWallMs = ports.clock.wallNow();
  }

  /** The text exposition format of Prometheus, version 0.0.4. */
  text(): Promise<string> {
    this.#underWay ??= this.#text().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** A flush of queues to the disk is done. */
  flushed(entries: number, tookMs: number): void {
    this.#flushSeconds.observe(tookMs / 1_000);
    this.#flushEntries.observe(entries);
  }

  async #text(): Promise<string> {
    // A node that nobody scrapes is smaller and starts faster without the library.
    const [{ MetricSheet }, { processMetrics }] = await Promise.all([
      import('./metric-sheet.js'),
      import('./process-metrics.js'),
    ]);
    this.#sheet ??= new MetricSheet();
    this.#sheet.clear();
    this.#node();
    this.#tasks(taskFigures(this.#ports));
    this.#entries();
    this.#traffic();
    this.#http(this.#ports.http() ?? NO_HTTP);
    const [own, ofProcess] = await Promise.all([this.#sheet.text(), processMetrics()]);
    return [own, this.#flushes(), ofProcess].join('\n');
  }

  #flushes(): string {
    const seconds = 'supernode_store_flush_duration_seconds';
    const entries = 'supernode_store_flush_entries';
    return [
      this.#flushSeconds.text(seconds, METRICS[seconds].help),
      this.#flushEntries.text(entries, METRICS[entries].help),
    ].join('\n');
  }

  #node(): void {
    const { name, version, calls, announced, storageErrors } = this.#ports;
    this.#set('supernode_info', 1, { name, version });
    this.#set('supernode_start_time_seconds', this.#startedWallMs / 1_000);
    for (const [store, error] of Object.entries(storageErrors())) {
      this.#set('supernode_storage_error', error === undefined ? 0 : 1, { store });
    }
    for (const [type, count] of announced.counts) this.#set('supernode_events_total', count, { type });
    for (const cause of RESTART_CAUSES) {
      this.#set('supernode_restarts_total', announced.restarts.get(cause) ?? 0, { cause });
    }
    const { inFlight, total, failed } = calls.totals;
    this.#set('supernode_calls_in_flight', inFlight);
    this.#set('supernode_calls_total', total);
    this.#set('supernode_calls_failed_total', failed);
    this.#set('supernode_calls_late_answers_total', calls.late);
  }

  #tasks(tasks: readonly TaskFigures[]): void {
    const inState = { ...NO_TASKS };
    for (const { states } of tasks) for (const state of statesOf(states)) inState[state] += 1;
    for (const state of statesOf(inState)) this.#set('supernode_tasks', inState[state], { state });
    for (const figures of this.#series.place(tasks)) {
      const { task, states, workers, gauges, restarts } = figures;
      for (const state of statesOf(states)) this.#set('supernode_task_state', states[state] ?? 0, { task, state });
      for (const state of statesOf(workers)) this.#set('supernode_task_workers', workers[state] ?? 0, { task, state });
      for (const [name, key] of TASK_GAUGES) this.#set(name, gauges[key], { task });
      this.#set('supernode_task_put_entries_total', figures.puts, { task });
      this.#set('supernode_task_fetched_entries_total', figures.fetched, { task });
      this.#set('supernode_task_dropped_entries_total', figures.dropped, { task });
      for (const [cause, count] of Object.entries(restarts)) {
        this.#set('supernode_task_restarts_total', count, { task, cause });
      }
    }
  }

  #entries(): void {
    const { bytes, counts } = this.#ports.queues;
    this.#set('supernode_queues_bytes', bytes);
    this.#set('supernode_put_entries_total', counts.puts);
    this.#set('supernode_put_bytes_total', counts.putBytes);
    this.#set('supernode_fetched_entries_total', counts.taken);
    this.#set('supernode_settled_entries_total', counts.settled);
    this.#set('supernode_returned_entries_total', counts.returned);
    for (const policy of DROP_POLICIES) {
      this.#set('supernode_dropped_entries_total', counts.dropped[policy], { policy });
    }
  }

  #traffic(): void {
    const { connections, subscriptions, traffic } = this.#ports.hub();
    this.#set('supernode_mqtt_connections', connections);
    this.#set('supernode_mqtt_connections_opened_total', traffic.connectionsOpened);
    this.#set('supernode_mqtt_subscriptions', subscriptions);
    this.#set('supernode_mqtt_received_bytes_total', traffic.bytesReceived);
    this.#set('supernode_mqtt_sent_bytes_total', traffic.bytesSent);
    this.#set('supernode_mqtt_received_messages_total', traffic.messagesReceived);
    this.#set('supernode_mqtt_sent_messages_total', traffic.messagesSent);
    this.#set('supernode_mqtt_received_publishes_total', traffic.publishesReceived);
    this.#set('supernode_mqtt_sent_publishes_total', traffic.publishesSent);
  }

  #http({ requests, bytesReceived, bytesSent, listeners, sockets }: HttpFigures): void {
    for (const [key, count] of requests) {
      const [method = '', route = '', status = ''] = key.split(' ');
      this.#set('supernode_http_requests_total', count, { method, route, status });
    }
    this.#set('supernode_http_received_bytes_total', bytesReceived);
    this.#set('supernode_http_sent_bytes_total', bytesSent);
    this.#set('supernode_http_event_listeners', listeners);
    this.#set('supernode_http_json_sockets', sockets);
  }

  #set(name: SheetMetric, value: number, labels?: Readonly<Record<string, string>>): void {
    this.#sheet?.set(name, value, labels);
  }
}

const TASK_GAUGES: readonly (readonly [SheetMetric, keyof TaskGauges])[] = [
  ['supernode_task_connections', 'connections'],
  ['supernode_task_cpu_ratio', 'cpuRatio'],
  ['supernode_task_resident_memory_bytes', 'rssBytes'],
  ['supernode_task_queue_entries', 'entries'],
  ['supernode_task_queue_bytes', 'bytes'],
  ['supernode_task_queue_entries_limit', 'entriesLimit'],
  ['supernode_task_queue_bytes_limit', 'bytesLimit'],
  ['supernode_task_queue_oldest_age_seconds', 'oldestAgeS'],
  ['supernode_task_queue_dead_entries', 'dead'],
];

/** Every state that a task can be in. */
const NO_TASKS: Readonly<Record<TaskState, number>> = {
  ...{ pending: 0, starting: 0, ready: 0, stopping: 0, backoff: 0, stopped: 0 },
  ...{ exited: 0, failed: 0, unkillable: 0, sleeping: 0, lost: 0 },
};

function isState(text: string): text is TaskState {
  return Object.hasOwn(NO_TASKS, text);
}

function statesOf(counts: StateCounts): TaskState[] {
  return Object.keys(counts).filter(isState);
}

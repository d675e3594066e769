/** What a metric is. `help` is its line in docs/metrics.md as well. */
export interface MetricDefinition {
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** Upper bounds, of a histogram. */
  readonly buckets?: readonly number[];
}

const gauge = (labels: readonly string[], help: string) => ({ type: 'gauge', labels, help }) as const;
const counter = (labels: readonly string[], help: string) => ({ type: 'counter', labels, help }) as const;
const histogram = (buckets: readonly number[], help: string) =>
  ({ type: 'histogram', labels: [], help, buckets }) as const;

const FLUSH_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const FLUSH_ENTRIES = [0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/** Every metric of the node, in the order of docs/metrics.md. Units are seconds and bytes; counters begin at 0 with each
 *  start of the node, and what a removed task counted stays in those without `task`. */
export const METRICS = {
  supernode_info: gauge(['name', 'version'], 'Always 1; the labels tell which node it is.'),
  supernode_start_time_seconds: gauge([], 'When the node was started, seconds since 1970.'),

  supernode_tasks: gauge(['state'], 'Tasks in each state.'),
  supernode_task_state: gauge(['task', 'state'], '1 for the state that the task is in; other states have no series.'),
  supernode_task_workers: gauge(['task', 'state'], 'Workers of the task in this state, where there are any.'),
  supernode_task_connections: gauge(['task'], 'Connections of the task.'),
  supernode_task_cpu_ratio: gauge(['task'], 'CPU of the process trees of the task, 1 for a whole core.'),
  supernode_task_resident_memory_bytes: gauge(['task'], 'Resident memory of the process trees of the task.'),
  supernode_restarts_total: counter(['cause'], 'Restarts of workers.'),
  supernode_task_restarts_total: counter(
    ['task', 'cause'],
    'Restarts of the workers of the task; a cause has a series from its first restart on.',
  ),

  supernode_put_entries_total: counter([], 'Entries put and kept.'),
  supernode_put_bytes_total: counter([], 'Payload bytes of entries put and kept.'),
  supernode_fetched_entries_total: counter(
    [],
    'Entries handed out by fetch or take; one that comes again counts again.',
  ),
  supernode_settled_entries_total: counter([], 'Hand-outs that were acknowledged.'),
  supernode_returned_entries_total: counter([], 'Hand-outs that were given back, or whose lease or connection ended.'),
  supernode_dropped_entries_total: counter(
    ['policy'],
    'Entries that were put and are lost, by the policy that says so.',
  ),
  supernode_queues_bytes: gauge([], 'Payload bytes of all queues.'),
  supernode_task_queue_entries: gauge(['task'], 'Entries in the queue, those on lease included.'),
  supernode_task_queue_bytes: gauge(['task'], 'Payload bytes in the queue.'),
  supernode_task_queue_entries_limit: gauge(['task'], 'Bound of the queue, in entries.'),
  supernode_task_queue_bytes_limit: gauge(['task'], 'Bound of the queue, in payload bytes.'),
  supernode_task_queue_oldest_age_seconds: gauge(['task'], 'Age of the oldest entry of the queue; 0 when it is empty.'),
  supernode_task_queue_dead_entries: gauge(['task'], 'Entries of the queue that were given back too often.'),
  supernode_task_put_entries_total: counter(['task'], 'Entries of the task put and kept.'),
  supernode_task_fetched_entries_total: counter(['task'], 'Entries of the task handed out by fetch or take.'),
  supernode_task_dropped_entries_total: counter(['task'], 'Entries of the task that are lost, by whatever policy.'),

  supernode_store_flush_duration_seconds: histogram(FLUSH_SECONDS, 'How long one flush of queues to the disk took.'),
  supernode_store_flush_entries: histogram(FLUSH_ENTRIES, 'Entries that one flush made safe.'),
  supernode_storage_error: gauge(['store'], '1 while this store cannot be read or written.'),

  supernode_calls_in_flight: gauge([], 'Calls under way.'),
  supernode_calls_total: counter([], 'Calls given to a worker.'),
  supernode_calls_failed_total: counter([], 'Calls that ended without a last part.'),
  supernode_calls_late_answers_total: counter([], 'Answers that nobody waited for.'),
  supernode_events_total: counter(['type'], 'Events as in m/event, those that were only counted included.'),

  supernode_mqtt_connections: gauge([], 'MQTT connections.'),
  supernode_mqtt_connections_opened_total: counter([], 'MQTT connections that were opened.'),
  supernode_mqtt_subscriptions: gauge([], 'Filters that connected clients hold.'),
  supernode_mqtt_received_bytes_total: counter([], 'Bytes of MQTT from clients.'),
  supernode_mqtt_sent_bytes_total: counter([], 'Bytes of MQTT to clients.'),
  supernode_mqtt_received_messages_total: counter([], 'MQTT packets of any type from clients.'),
  supernode_mqtt_sent_messages_total: counter([], 'MQTT packets of any type to clients.'),
  supernode_mqtt_received_publishes_total: counter([], 'PUBLISH packets from clients.'),
  supernode_mqtt_sent_publishes_total: counter([], 'PUBLISH packets to clients.'),

  supernode_http_requests_total: counter(
    ['method', 'route', 'status'],
    'HTTP requests that a route answered, or that were refused before one; what is no HTTP and the documents are left out.',
  ),
  supernode_http_received_bytes_total: counter([], 'Bytes of bodies and of WebSocket messages from clients.'),
  supernode_http_sent_bytes_total: counter(
    [],
    'Bytes of answers that went well, and of WebSocket messages, to clients; without event streams.',
  ),
  supernode_http_event_listeners: gauge([], 'Listeners of server-sent events.'),
  supernode_http_json_sockets: gauge([], 'JSON WebSockets.'),
} as const satisfies Record<string, MetricDefinition>;

type Histograms = 'supernode_store_flush_duration_seconds' | 'supernode_store_flush_entries';
/** Those that a scrape fills. */
export type SheetMetric = Exclude<keyof typeof METRICS, Histograms>;

import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { taskIdOf } from '../../src/core/topics.js';
import type { TaskStatus, WorkerStatus } from '../../src/supervisor/status.js';
import { metricWorld, samplesOf } from '../fixtures/metric-world.js';
import { boundsOf } from '../fixtures/queues.js';

const STANDING = { generation: 1, restarts: {}, channels: 0, sinceMs: 0 };

function statusOf(task: string, over: Partial<TaskStatus> = {}): TaskStatus {
  const taskId = taskIdOf(task);
  return { taskId, state: 'ready', kind: 'process', ...STANDING, workers: [], accepting: true, ...over };
}
const workerOf = (instance: number, state: WorkerStatus['state'], pid?: number): WorkerStatus => ({
  ...{ ...STANDING, instance, state },
  ...(pid === undefined ? {} : { pid }),
});

/** Values of one metric, by their labels. */
function valuesOf(text: string, name: string): Record<string, number> {
  const own = samplesOf(text).filter((sample) => sample.name === name);
  return Object.fromEntries(own.map(({ labels, value }) => [Object.values(labels).join(' '), value]));
}

describe('the metrics of a node', () => {
  test('name it, its version and when it was started', async () => {
    const { metrics, clock } = metricWorld();
    const startedS = clock.wallNow() / 1_000;
    clock.advance(5_000);
    const text = await metrics.text();
    expect(valuesOf(text, 'supernode_info')).toEqual({ 'edge-1 1.2.3': 1 });
    expect(valuesOf(text, 'supernode_start_time_seconds')).toEqual({ '': startedS });
    expect(metrics.contentType).toBe(new Registry().contentType);
  });

  test('tell of each task its state and its workers, and count tasks by state', async () => {
    const { metrics, statuses } = metricWorld();
    const workers = [workerOf(1, 'ready'), workerOf(2, 'ready'), workerOf(3, 'backoff')];
    statuses.push(statusOf('pool', { workers }), statusOf('sensor', { kind: 'net', state: 'lost' }));
    const text = await metrics.text();
    expect(valuesOf(text, 'supernode_task_state')).toEqual({ 'pool ready': 1, 'sensor lost': 1 });
    expect(valuesOf(text, 'supernode_task_workers')).toEqual({ 'pool ready': 2, 'pool backoff': 1 });
    expect(valuesOf(text, 'supernode_tasks')).toMatchObject({ ready: 1, lost: 1, failed: 0, pending: 0 });
  });

  test('forget a state that a task has left', async () => {
    const { metrics, statuses } = metricWorld();
    statuses.push(statusOf('a', { state: 'starting' }));
    await metrics.text();
    statuses[0] = statusOf('a', { state: 'ready' });
    expect(valuesOf(await metrics.text(), 'supernode_task_state')).toEqual({ 'a ready': 1 });
  });

  test('tell of a queue its length, bytes, bounds, age and counts', async () => {
    const { metrics, statuses, queues, clock } = metricWorld();
    statuses.push(statusOf('a'), statusOf('b'));
    const queue = queues.open(taskIdOf('a'), boundsOf({ length: 2, bytes: 100 }));
    for (const text of ['one', 'two', 'three']) queues.put(queue, Buffer.from(text));
    clock.advance(2_500);
    const text = await metrics.text();
    const of = (what: string) => valuesOf(text, `supernode_task_${what}`);
    expect(of('queue_entries')).toEqual({ a: 2, b: 0 });
    expect(of('queue_bytes')).toEqual({ a: 8, b: 0 });
    expect(of('queue_entries_limit')).toEqual({ a: 2, b: 0 });
    expect(of('queue_oldest_age_seconds')).toEqual({ a: 2.5, b: 0 });
    expect(of('put_entries_total')).toEqual({ a: 3, b: 0 });
    expect(of('dropped_entries_total')).toEqual({ a: 1, b: 0 });
    expect(valuesOf(text, 'supernode_put_bytes_total')).toEqual({ '': 11 });
    expect(valuesOf(text, 'supernode_dropped_entries_total')).toMatchObject({ drop_oldest: 1, ttl: 0, stopped: 0 });
  });

  test('sum CPU and memory of the workers of a task, in their base units', async () => {
    const usage = { latest: (pid: number) => ({ cpuPercent: 50 * pid, rssKb: 2, processes: 1 }) };
    const { metrics, statuses } = metricWorld({ usage });
    statuses.push(
      statusOf('a', { workers: [workerOf(1, 'ready', 1), workerOf(2, 'ready', 2), workerOf(3, 'backoff')] }),
    );
    const text = await metrics.text();
    expect(valuesOf(text, 'supernode_task_cpu_ratio')).toEqual({ a: 1.5 });
    expect(valuesOf(text, 'supernode_task_resident_memory_bytes')).toEqual({ a: 4_096 });
  });

  test('have every cause of a restart, also those that never were', async () => {
    const { metrics, statuses, announced } = metricWorld();
    announced.restarts.set('oom', 2);
    statuses.push(statusOf('a', { restarts: { oom: 1 } }));
    const text = await metrics.text();
    const all = valuesOf(text, 'supernode_restarts_total');
    expect(all).toMatchObject({ oom: 2, exit: 0, command: 0 });
    expect(Object.keys(all)).toHaveLength(10);
    expect(valuesOf(text, 'supernode_task_restarts_total')).toEqual({ 'a oom': 1 });
  });

  test('have series of so many tasks only, and of the others together', async () => {
    const { metrics, statuses } = metricWorld({}, 1);
    statuses.push(statusOf('a'), statusOf('b'), statusOf('c', { state: 'failed' }));
    const text = await metrics.text();
    expect(valuesOf(text, 'supernode_task_state')).toEqual({ 'a ready': 1, '(other) ready': 1, '(other) failed': 1 });
    expect(valuesOf(text, 'supernode_tasks')).toMatchObject({ ready: 2, failed: 1 });
  });

  test('tell calls, events, traffic, and which store is in trouble', async () => {
    const storageErrors = () => ({ queues: 'disk full', sessions: undefined });
    const { metrics, hub, announced } = metricWorld({ storageErrors });
    announced.counts.set('refused', 4);
    Object.assign(hub, { connections: 2 });
    Object.assign(hub.traffic, { bytesReceived: 10, messagesSent: 7 });
    const text = await metrics.text();
    const names = [
      ...['calls_in_flight', 'calls_total', 'calls_failed_total', 'calls_late_answers_total'],
      ...['mqtt_connections', 'mqtt_received_bytes_total', 'mqtt_sent_messages_total'],
    ];
    expect(names.map((name) => valuesOf(text, `supernode_${name}`)[''])).toEqual([1, 5, 2, 3, 2, 10, 7]);
    expect(valuesOf(text, 'supernode_events_total')).toEqual({ refused: 4 });
    expect(valuesOf(text, 'supernode_storage_error')).toEqual({ queues: 1, sessions: 0 });
  });

  test('tell HTTP by method, route and status', async () => {
    const requests = new Map([['GET /m/fetch/:task 200', 3]]);
    const http = () => ({ requests, bytesReceived: 5, bytesSent: 6, listeners: 1, sockets: 2 });
    const text = await metricWorld({ http }).metrics.text();
    expect(text).toContain('supernode_http_requests_total{method="GET",route="/m/fetch/:task",status="200"} 3');
    expect(valuesOf(text, 'supernode_http_json_sockets')).toEqual({ '': 2 });
  });

  test('keep how long flushes took, and how many entries they had, from scrape to scrape', async () => {
    const { metrics } = metricWorld();
    metrics.flushed(3, 4);
    await metrics.text();
    metrics.flushed(0, 1_000);
    const text = await metrics.text();
    const seconds = valuesOf(text, 'supernode_store_flush_duration_seconds_bucket');
    expect([seconds['0.0025'], seconds['0.005'], seconds['+Inf']]).toEqual([0, 1, 2]);
    expect(valuesOf(text, 'supernode_store_flush_duration_seconds_sum')).toEqual({ '': 1.004 });
    expect(valuesOf(text, 'supernode_store_flush_entries_sum')).toEqual({ '': 3 });
  });

  test('are asked for once by all who ask at the same time', async () => {
    let looks = 0;
    const list = () => {
      looks += 1;
      return [];
    };
    const { metrics } = metricWorld({ supervisor: { list } });
    const [first, second] = await Promise.all([metrics.text(), metrics.text()]);
    expect([second, looks]).toEqual([first, 1]);
    await metrics.text();
    expect(looks).toBe(2);
  });

  test('of two nodes in one process are their own', async () => {
    const [one, two] = [metricWorld({ name: 'one' }), metricWorld({ name: 'two' })];
    expect(await one.metrics.text()).not.toContain('name="two"');
    expect(await two.metrics.text()).not.toContain('name="one"');
  });
});

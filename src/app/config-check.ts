import { DEFAULT_HOST, isLoopback } from '../core/address.js';
import type { ConfigWire, ListenerWire, RouteWire } from '../core/config-schema.js';
import { describe, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { A_PROGRAM, resolveRecord } from '../core/task-record.js';
import type { QueueFieldsWire, TaskWire } from '../core/task-schema.js';
import { type Fault, formatPath } from '../core/validate.js';
import { isTopicFilter } from '../transport/topic-filter.js';

/** What a schema cannot say about a configuration: names that repeat, templates that are missing, routes that would
 *  swallow the node's own topics, listeners that strangers could reach.
 *  @throws SuperNodeError SN_ERR_CONFIG, the first fault only */
export function checkConfig(config: ConfigWire): void {
  const fault = firstConfigFault(config);
  if (fault !== undefined) throw new SuperNodeError('SN_ERR_CONFIG', `${formatPath(fault.path)}: ${fault.text}`);
}

/** The first fault with its place, for a caller that knows the lines of the file. */
export function firstConfigFault(config: ConfigWire): Fault | undefined {
  for (const fault of faults(config)) return fault;
  return undefined;
}

function* faults(config: ConfigWire): Generator<Fault> {
  yield* listenerFaults(config.listeners ?? []);
  yield* taskFaults(config);
  yield* storageFaults(config);
  for (const [index, route] of (config.routes ?? []).entries()) {
    const [field, text] = routeFault(route, config.topics?.prefix ?? '') ?? [];
    if (field !== undefined && text !== undefined) yield { path: ['routes', `${index}`, field], text };
  }
}

function* listenerFaults(listeners: readonly ListenerWire[]): Generator<Fault> {
  const seen = new Map<string, number>();
  for (const [index, { host = DEFAULT_HOST, port }] of listeners.entries()) {
    const path = ['listeners', `${index}`];
    if (!isLoopback(host)) {
      yield {
        path: [...path, 'host'],
        text: `expected a loopback address (127.0.0.1, ::1, localhost), got ${describe(host)}: whoever connects may start programs, so without users the node listens on loopback only; users come with a later version`,
      };
    }
    const address = `${host.toLowerCase() === 'localhost' ? DEFAULT_HOST : host.toLowerCase()} ${port}`;
    const earlier = port === 0 ? undefined : seen.get(address);
    if (earlier !== undefined) {
      yield {
        path,
        text: `expected an address of its own, got ${host} port ${port}, which listeners[${earlier}] has already`,
      };
    }
    seen.set(address, index);
  }
}

/** Queues on a disk need one. */
function* storageFaults({ data_dir, queue, workers = {}, tasks = [] }: ConfigWire): Generator<Fault> {
  if (data_dir !== undefined) return;
  const queues: [string[], QueueFieldsWire | undefined][] = [
    [['queue'], queue],
    ...Object.entries(workers).map(([name, { queue: own }]): [string[], typeof own] => [
      ['workers', name, 'queue'],
      own,
    ]),
    ...tasks.map(({ queue: own }, index): [string[], typeof own] => [['tasks', `${index}`, 'queue'], own]),
  ];
  for (const [path, { storage } = {}] of queues) {
    if (storage === 'disk') yield { path: [...path, 'storage'], text: 'expected a data_dir for "disk", got none' };
  }
}

function* taskFaults({ tasks = [], workers = {}, queue = {}, limits = {} }: ConfigWire): Generator<Fault> {
  const templates = new Map(Object.entries(workers));
  const seen = new Map<string, number>();
  const tasksMax = limits.tasks ?? LIMITS.tasksMax;
  const count = tasks.reduce((sum, { worker, instances }) => {
    return sum + (instances ?? (worker === undefined ? undefined : templates.get(worker)?.instances) ?? 1);
  }, 0);
  if (count > tasksMax) {
    const text = `expected at most ${tasksMax} (limits.tasks, each of \`instances\` counted), got ${count}`;
    yield { path: ['tasks'], text };
  }
  for (const [name, { command }] of templates) {
    if (command?.[0] === '') yield { path: ['workers', name, 'command'], text: `expected ${A_PROGRAM}, got ""` };
  }
  for (const [index, task] of tasks.entries()) {
    const earlier = seen.get(task.task_id);
    if (earlier !== undefined) {
      yield {
        path: ['tasks', `${index}`, 'task_id'],
        text: `expected an id of its own, got ${describe(task.task_id)}, which tasks[${earlier}] has already`,
      };
    }
    seen.set(task.task_id, index);
    const fault = recordFault(task, () => resolveRecord(task, templates, queue, 'trusted'));
    if (fault !== undefined) yield { ...fault, path: ['tasks', `${index}`, ...fault.path] };
  }
}

/** A complaint of `resolveRecord` starts with the field it is about. */
function recordFault(task: TaskWire, resolve: () => unknown): Fault | undefined {
  try {
    resolve();
    return undefined;
  } catch (error) {
    if (!(error instanceof SuperNodeError)) throw error;
    const [field = '', ...rest] = error.message.split(': ');
    return field in task ? { path: [field], text: rest.join(': ') } : { path: [], text: error.message };
  }
}

function routeFault({ from, task_id }: RouteWire, prefix: string): ['from' | 'task_id', string] | undefined {
  if (!isTopicFilter(from)) return ['from', `expected a topic filter such as "tele/+/SENSOR", got ${describe(from)}`];
  if (from.startsWith('$')) return ['from', `expected a filter that does not begin with $, got ${describe(from)}`];
  for (const root of [`${prefix}m`, `${prefix}w`]) {
    if (reachesBelow(from, root)) {
      return ['from', `expected a filter that matches nothing below ${root}/, got ${describe(from)}`];
    }
  }
  const wildcards = from.split('/').filter((level) => level === '+' || level === '#').length;
  for (const [placeholder, number] of task_id.matchAll(/\{(\d+)\}/g)) {
    if (Number(number) < 1 || Number(number) > wildcards) {
      const expected = wildcards === 0 ? 'no placeholder, as `from` has no wildcard' : `{1} to {${wildcards}}`;
      return ['task_id', `expected ${expected}, got ${placeholder} in ${describe(task_id)}`];
    }
  }
  return undefined;
}

/** Whether some topic below `root` matches the filter [MQTT-4.7.1]. */
function reachesBelow(filter: string, root: string): boolean {
  const levels = filter.split('/');
  const above = root.split('/');
  for (const [depth, level] of above.entries()) {
    if (levels[depth] === '#') return true;
    if (levels[depth] !== '+' && levels[depth] !== level) return false;
  }
  return levels.length > above.length;
}

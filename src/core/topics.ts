import { describe, SuperNodeError } from './errors.js';

declare const taskIdBrand: unique symbol;
/** A checked task id: `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`. */
export type TaskId = string & { readonly [taskIdBrand]: true };

export const TASK_ID_PATTERN = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$';
const TASK_ID = new RegExp(TASK_ID_PATTERN);

export function isTaskId(text: unknown): text is TaskId {
  return typeof text === 'string' && TASK_ID.test(text);
}

/** @throws SuperNodeError SN_ERR_TASK_ID */
export function taskIdOf(text: unknown): TaskId {
  if (isTaskId(text)) return text;
  throw new SuperNodeError('SN_ERR_TASK_ID', `task_id: expected text like ${TASK_ID_PATTERN}, got ${describe(text)}`);
}

/** The group of a fetch that names none. */
export const DEFAULT_GROUP = 'default';
export const GROUP_PATTERN = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$';
const GROUP = new RegExp(GROUP_PATTERN);
/** Entries that were given back too often; a name that no group can have. */
export const DEAD_GROUP = '$dead';

/** The words a worker may report on `w/ch/<task>/state`. */
export const WORKER_REPORTS = ['ready', 'sleeping', 'lost'] as const;
export type WorkerReport = (typeof WORKER_REPORTS)[number];

export type AnswerKind = 'part' | 'end' | 'error';

/** What a topic means, seen from a client that publishes to it. */
export type TopicMeaning =
  | { readonly kind: 'cmd' }
  | { readonly kind: 'task-cmd'; readonly taskId: TaskId }
  | { readonly kind: 'fetch'; readonly taskId: TaskId | undefined }
  | { readonly kind: 'ack' }
  | { readonly kind: 'stat'; readonly taskId: TaskId | undefined }
  | { readonly kind: 'put'; readonly taskId: TaskId }
  | { readonly kind: 'report'; readonly taskId: TaskId }
  /** A worker answers a call: a part, the last part, or a failure. */
  | { readonly kind: 'answer'; readonly taskId: TaskId; readonly callId: string; readonly part: AnswerKind }
  /** The node alone writes here. */
  | { readonly kind: 'node' }
  /** Below `m/` or `w/`, but nothing we know; `why` says so. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** None of ours: the broker's business. */
  | { readonly kind: 'free' };

/** What a subscription takes entries of. Without a task: of all, in order of arrival. */
export interface Taking {
  readonly taskId: TaskId | undefined;
  readonly group: string;
}

/** Below this the broker tells about itself. Neither `#` nor `+` at the beginning of a filter reaches it [MQTT-4.7.2-1]. */
export const BROKER_ROOT = '$SYS/';

/** Below this nobody may publish or subscribe: it is where messages go that must reach nobody. */
export const NOWHERE_ROOT = '$SN/';

const NODE_WORDS = new Set(['reply', 'state', 'data', 'info', 'event', 'log', 'usage', 'take']);

/** The one map of topics: every name that the wire has is made and read here.
 *  `prefix` stands before all of them (`site7/`, `/`, or nothing). */
export class Topics {
  readonly prefix: string;
  readonly nodeState: string;
  readonly info: string;
  readonly event: string;
  readonly reply: string;
  readonly cmd: string;

  constructor(prefix = '') {
    this.prefix = prefix;
    this.nodeState = `${prefix}m/state`;
    this.info = `${prefix}m/info`;
    this.event = `${prefix}m/event`;
    this.reply = `${prefix}m/reply`;
    this.cmd = `${prefix}m/cmd`;
  }

  taskCmd(taskId: string): string {
    return `${this.prefix}m/cmd/${taskId}`;
  }
  fetch(taskId?: string): string {
    return this.#below('m/fetch', taskId);
  }
  get ack(): string {
    return `${this.prefix}m/ack`;
  }
  stat(taskId?: string): string {
    return this.#below('m/stat', taskId);
  }
  data(taskId: string): string {
    return `${this.prefix}m/data/${taskId}`;
  }
  state(taskId: string): string {
    return `${this.prefix}m/state/${taskId}`;
  }
  log(taskId: string): string {
    return `${this.prefix}m/log/${taskId}`;
  }
  usage(taskId: string): string {
    return `${this.prefix}m/usage/${taskId}`;
  }
  put(taskId: string): string {
    return `${this.prefix}w/ch/${taskId}`;
  }
  workerCmd(taskId: string): string {
    return `${this.prefix}w/ch/${taskId}/cmd`;
  }
  workerCall(taskId: string, callId: string): string {
    return `${this.prefix}w/ch/${taskId}/cmd/${callId}`;
  }
  /** Tells a worker that nobody waits for its answer any more. */
  workerCancel(taskId: string, callId: string): string {
    return `${this.workerCall(taskId, callId)}/cancel`;
  }
  workerAnswer(taskId: string, callId: string, part: AnswerKind): string {
    const topic = `${this.prefix}w/ch/${taskId}/reply/${callId}`;
    return part === 'part' ? topic : `${topic}/${part}`;
  }
  workerState(taskId: string): string {
    return `${this.prefix}w/ch/${taskId}/state`;
  }

  /** The task whose commands a filter is after: `w/ch/<task>/cmd`, or below it. Undefined: none, or many. */
  commandsIn(filter: string): TaskId | undefined {
    const [base, deeper] = filter.split('/cmd', 2);
    if (base === undefined || deeper === undefined || (deeper !== '' && !deeper.startsWith('/'))) return undefined;
    const meaning = this.meaning(base);
    return meaning.kind === 'put' ? meaning.taskId : undefined;
  }

  /** Where a taken entry comes from, as its taker sees it. */
  take(taskId: string, group: string): string {
    const topic = `${this.prefix}m/take/${taskId}`;
    return group === DEFAULT_GROUP ? topic : `${topic}/${group}`;
  }

  /** What a filter takes: `m/take/<task>[/<group>]`, `m/take/+[/<group>]`. Undefined: it is none of those. */
  takeIn(filter: string): Taking | undefined {
    if (!this.isTake(filter)) return undefined;
    const [, , id, group = DEFAULT_GROUP, ...deeper] = filter.slice(this.prefix.length).split('/');
    if (deeper.length > 0 || !GROUP.test(group)) return undefined;
    if (id === '+') return { taskId: undefined, group };
    return isTaskId(id) ? { taskId: id, group } : undefined;
  }

  /** True for `m/take` and everything below it. */
  isTake(filter: string): boolean {
    return filter === `${this.prefix}m/take` || filter.startsWith(`${this.prefix}m/take/`);
  }

  /** True for `m/reply` and everything below it. */
  isReply(topic: string): boolean {
    return topic === this.reply || topic.startsWith(`${this.reply}/`);
  }

  /** True for everything below `m/` and `w/`: what the broker must never forward for a client. */
  isOurs(topic: string): boolean {
    if (!topic.startsWith(this.prefix)) return false;
    const at = this.prefix.length;
    return topic.charCodeAt(at + 1) === 47 && (topic.charCodeAt(at) === 109 || topic.charCodeAt(at) === 119);
  }

  meaning(topic: string): TopicMeaning {
    if (!this.isOurs(topic)) return { kind: 'free' };
    const [root, word = '', id, ...deeper] = topic.slice(this.prefix.length).split('/');
    return root === 'm' ? meaningOfManagement(word, id, deeper) : meaningOfWorker(word, id, deeper);
  }

  #below(base: string, taskId: string | undefined): string {
    return taskId === undefined ? this.prefix + base : `${this.prefix}${base}/${taskId}`;
  }
}

function meaningOfManagement(word: string, id: string | undefined, deeper: readonly string[]): TopicMeaning {
  if (NODE_WORDS.has(word)) return { kind: 'node' };
  if (word === 'ack') {
    return id === undefined ? { kind: 'ack' } : { kind: 'unknown', why: 'expected m/ack, got more levels' };
  }
  if (word !== 'cmd' && word !== 'fetch' && word !== 'stat') {
    return { kind: 'unknown', why: `expected m/cmd, m/fetch, m/ack or m/stat, got m/${describe(word)}` };
  }
  if (deeper.length > 0) return { kind: 'unknown', why: `expected m/${word} or m/${word}/<task>, got more levels` };
  if (id === undefined) return word === 'cmd' ? { kind: 'cmd' } : { kind: word, taskId: undefined };
  if (!isTaskId(id)) return badTaskId(id);
  return word === 'cmd' ? { kind: 'task-cmd', taskId: id } : { kind: word, taskId: id };
}

function meaningOfWorker(word: string, id: string | undefined, deeper: readonly string[]): TopicMeaning {
  if (word !== 'ch' || id === undefined) return { kind: 'unknown', why: 'expected w/ch/<task>' };
  if (!isTaskId(id)) return badTaskId(id);
  if (deeper.length === 0) return { kind: 'put', taskId: id };
  const [below] = deeper;
  if (deeper.length === 1 && below === 'state') return { kind: 'report', taskId: id };
  if (below === 'cmd') return { kind: 'node' };
  if (below === 'reply') return meaningOfAnswer(id, deeper.slice(1));
  return { kind: 'unknown', why: 'expected w/ch/<task>, w/ch/<task>/state or w/ch/<task>/reply/<call>' };
}

function meaningOfAnswer(taskId: TaskId, [callId = '', part, ...deeper]: readonly string[]): TopicMeaning {
  const known = part === undefined || part === 'end' || part === 'error';
  if (callId === '' || !known || deeper.length > 0) {
    return { kind: 'unknown', why: 'expected w/ch/<task>/reply/<call>, or /end or /error below it' };
  }
  return { kind: 'answer', taskId, callId, part: part ?? 'part' };
}

function badTaskId(id: string): TopicMeaning {
  return { kind: 'unknown', why: `task id in the topic: expected ${TASK_ID_PATTERN}, got ${describe(id)}` };
}

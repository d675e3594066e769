import type { Static } from '@sinclair/typebox';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { COMMAND_NAMES, COMMAND_SCHEMAS, type CommandName } from '../core/request-schema.js';
import type { TaskWire } from '../core/task-schema.js';
import { type TaskId, taskIdOf } from '../core/topics.js';
import { validate } from '../core/validate.js';
import { payloadOf, payloadToWire } from './payload.js';
import type { CallPart, LogLine, RouterPorts } from './ports.js';
import type { Caller } from './request.js';

type CommandOf<N extends CommandName> = Static<(typeof COMMAND_SCHEMAS)[N]>;

/** What a command may need beside its fields. */
export interface CommandContext {
  readonly caller: Caller;
  readonly ports: RouterPorts;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal | undefined;
  /** Takes the data of a reply that others follow. A promise: the next one comes when it is settled. */
  more(data: Record<string, unknown>): undefined | Promise<void>;
}

type Handlers = {
  readonly [N in CommandName]: (command: CommandOf<N>, context: CommandContext) => Promise<unknown>;
};

/** Lines of `logs` when the caller names no number. */
const LOG_LINES = 100;

const HANDLERS: Handlers = {
  async start({ cmd: _cmd, transaction: _transaction, reply_to: _replyTo, ...task }, { caller, ports }) {
    const source = caller.role === 'admin' ? 'trusted' : 'request';
    return { task_id: await ports.tasks.start(task satisfies TaskWire, source) };
  },
  async stop({ task_id }, { ports: { tasks } }) {
    await tasks.stop(known(task_id, tasks));
    return { task_id };
  },
  async restart({ task_id }, { ports: { tasks } }) {
    await tasks.restart(known(task_id, tasks));
    return { task_id };
  },
  async remove({ task_id }, { ports: { tasks } }) {
    await tasks.remove(known(task_id, tasks));
    return { task_id };
  },
  async signal({ task_id, sig }, { ports: { tasks } }) {
    tasks.signal(known(task_id, tasks), sig);
    return { task_id };
  },
  async send(command, { ports }) {
    return sendToWorkers(known(command.task_id, ports.tasks), payloadOf('send', command), ports);
  },
  async call(command, { ports, signal, more }) {
    const last = await ports.calls.call({
      taskId: known(command.task_id, ports.tasks),
      payload: payloadOf('call', command),
      timeoutMs: command.timeout_ms ?? LIMITS.callTimeoutMs,
      signal,
      part: (part) => more(partToWire(part, false)),
    });
    return partToWire(last, true);
  },
  async logs({ task_id, lines = LOG_LINES }, { ports }) {
    return { lines: ports.logs.tail(known(task_id, ports.tasks), lines).map(lineToWire) };
  },
  async purge({ task_id, group }, { ports: { tasks, queues } }) {
    return { purged: await queues.purge(known(task_id, tasks), group === undefined ? 'all' : 'dead') };
  },
  async requeue({ task_id }, { ports: { tasks, queues } }) {
    return { requeued: await queues.requeue(known(task_id, tasks)) };
  },
  async remove_group({ task_id, group }, { ports: { tasks, queues } }) {
    if (!(await queues.removeGroup(known(task_id, tasks), group))) {
      throw mismatch('SN_ERR_GROUP_UNKNOWN', 'group', `an active group of ${task_id}`, group);
    }
    return { task_id, group };
  },
  async workers(_command, { ports: { records } }) {
    return { workers: [...records.templates].map(([name, template]) => describeTemplate(name, template)) };
  },
};

/** Runs one command; its `data` is the result.
 *  @throws SuperNodeError with the code the caller gets */
export async function runCommand(body: Record<string, unknown>, context: CommandContext): Promise<unknown> {
  const name = COMMAND_NAMES.find((known) => known === body.cmd);
  if (name === undefined) {
    throw mismatch('SN_ERR_COMMAND_UNKNOWN', 'cmd', `one of ${COMMAND_NAMES.join(', ')}`, body.cmd);
  }
  if (name !== 'workers') taskIdOf(body.task_id);
  return dispatch(name, body, context);
}

/** Raw bytes to every channel of a task.
 *  @throws SuperNodeError SN_ERR_TASK_UNKNOWN, SN_ERR_NO_CHANNEL */
export function sendToWorkers(taskId: TaskId, payload: Uint8Array, ports: RouterPorts): { channels: number } {
  const channels = ports.courier.send(known(taskId, ports.tasks), payload);
  if (channels === 0) {
    throw new SuperNodeError(
      'SN_ERR_NO_CHANNEL',
      `${taskId}: expected a connected worker that takes commands, got none`,
    );
  }
  return { channels };
}

async function dispatch<N extends CommandName>(
  name: N,
  body: Record<string, unknown>,
  context: CommandContext,
): Promise<unknown> {
  const command = validate(COMMAND_SCHEMAS[name], body, 'SN_ERR_REQUEST', name);
  return HANDLERS[name](command, context);
}

/** @throws SuperNodeError SN_ERR_TASK_UNKNOWN */
export function known(text: string, tasks: RouterPorts['tasks']): TaskId {
  const taskId = taskIdOf(text);
  if (!tasks.has(taskId)) {
    throw new SuperNodeError(
      'SN_ERR_TASK_UNKNOWN',
      `task_id: expected a task of this node, got ${JSON.stringify(text)}`,
    );
  }
  return taskId;
}

function partToWire({ index, payload, workerName }: CallPart, last: boolean): Record<string, unknown> {
  return { part: index, last, ...payloadToWire(payload), worker_id: workerName };
}

function lineToWire({ tsMs, stream, line, workerId }: LogLine): Record<string, unknown> {
  return { ts: tsMs, stream, line, ...(workerId === undefined ? {} : { worker_id: workerId }) };
}

/** Values of `env` may be secrets: only names leave the node. */
function describeTemplate(name: string, { env, ...template }: { env?: Record<string, string> }) {
  return { name, ...template, ...(env ? { env: Object.keys(env) } : {}) };
}

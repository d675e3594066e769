import type { Static } from '@sinclair/typebox';
import { mismatch, SuperNodeError } from '../core/errors.js';
import { COMMAND_NAMES, COMMAND_SCHEMAS, type CommandName, type TaskWire } from '../core/schema.js';
import { type TaskId, taskIdOf } from '../core/topics.js';
import { validate } from '../core/validate.js';
import type { RouterPorts } from './ports.js';
import type { Caller } from './request.js';

type CommandOf<N extends CommandName> = Static<(typeof COMMAND_SCHEMAS)[N]>;

type Handlers = {
  readonly [N in CommandName]: (command: CommandOf<N>, caller: Caller, ports: RouterPorts) => Promise<unknown>;
};

const HANDLERS: Handlers = {
  async start({ cmd: _cmd, transaction: _transaction, reply_to: _replyTo, ...task }, caller, { tasks, records }) {
    const record = records.resolve(task satisfies TaskWire, caller.role === 'admin' ? 'trusted' : 'request');
    tasks.start(record);
    return { task_id: record.taskId };
  },
  async stop({ task_id }, _caller, { tasks }) {
    await tasks.stop(known(task_id, tasks));
    return { task_id };
  },
  async restart({ task_id }, _caller, { tasks }) {
    await tasks.restart(known(task_id, tasks));
    return { task_id };
  },
  async remove({ task_id }, _caller, { tasks }) {
    await tasks.remove(known(task_id, tasks));
    return { task_id };
  },
  async signal({ task_id, sig }, _caller, { tasks }) {
    tasks.signal(known(task_id, tasks), sig);
    return { task_id };
  },
  async send({ task_id, payload }, _caller, ports) {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    return sendToWorkers(known(task_id, ports.tasks), Buffer.from(text), ports);
  },
  async workers(_command, _caller, { records }) {
    return { workers: [...records.templates].map(([name, template]) => describeTemplate(name, template)) };
  },
};

/** Runs one command; its `data` is the result.
 *  @throws SuperNodeError with the code the caller gets */
export async function runCommand(body: Record<string, unknown>, caller: Caller, ports: RouterPorts): Promise<unknown> {
  const name = COMMAND_NAMES.find((known) => known === body.cmd);
  if (name === undefined) {
    throw mismatch('SN_ERR_COMMAND_UNKNOWN', 'cmd', `one of ${COMMAND_NAMES.join(', ')}`, body.cmd);
  }
  if (name !== 'workers') taskIdOf(body.task_id);
  return dispatch(name, body, caller, ports);
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
  caller: Caller,
  ports: RouterPorts,
): Promise<unknown> {
  const command = validate(COMMAND_SCHEMAS[name], body, 'SN_ERR_REQUEST', name);
  return HANDLERS[name](command, caller, ports);
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

/** Values of `env` may be secrets: only names leave the node. */
function describeTemplate(name: string, { env, ...template }: { env?: Record<string, string> }) {
  return { name, ...template, ...(env ? { env: Object.keys(env) } : {}) };
}

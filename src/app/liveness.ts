import type { Supervisor } from '../supervisor/supervisor.js';
import type { Liveness } from '../transport/ports.js';
import type { TaskCatalog } from './task-catalog.js';

/** What the transport asks about tasks and tells of their connections, answered by who knows. */
export function livenessOf(supervisor: Supervisor, catalog: TaskCatalog): Liveness {
  return {
    isProcess: (taskId) => supervisor.record(taskId)?.command !== undefined,
    takesCommands: (taskId, worker) => supervisor.takesCommands(taskId, worker),
    register: (taskId) => catalog.register(taskId),
    channelUp: (taskId, channelId, worker) => supervisor.channelUp(taskId, channelId, worker),
    channelDown: (taskId, channelId, how) => supervisor.channelDown(taskId, channelId, how),
    report: (taskId, channelId, word) => supervisor.report(taskId, channelId, word),
    instances: (taskId) => supervisor.record(taskId)?.instances ?? 1,
    heartbeatMs: (taskId) => supervisor.record(taskId)?.heartbeatMs ?? 0,
  };
}

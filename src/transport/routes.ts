import { isTaskId, type TaskId, taskIdOf } from '../core/topics.js';
import { captures } from './topic-filter.js';

export interface Route {
  readonly from: string;
  /** `{1}`, `{2}` … stand for what the wildcards of `from` matched. */
  readonly taskId: string;
}

/** Which tasks get a copy of a publish to a free topic. */
export class Routes {
  readonly #routes: readonly Route[];

  constructor(routes: readonly Route[]) {
    this.#routes = routes;
  }

  tasksFor(topic: string): TaskId[] {
    const tasks = new Set<TaskId>();
    for (const { from, taskId } of this.#routes) {
      const matched = captures(from, topic);
      if (matched) tasks.add(fillIn(taskId, matched));
    }
    return [...tasks];
  }
}

/** Characters that no task id may have become `_`. */
function fillIn(template: string, matched: readonly string[]): TaskId {
  const filled = template
    .replaceAll(/\{(\d+)\}/g, (_, position: string) => matched[Number(position) - 1] ?? '')
    .replaceAll(/[^A-Za-z0-9_.-]/g, '_')
    .slice(0, 64);
  const safe = isTaskId(filled) ? filled : `r${filled}`.slice(0, 64);
  return taskIdOf(safe);
}

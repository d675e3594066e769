import { type Fields, fieldsOf, numberOf, textOf } from './reply-data.js';

export const SORT_KEYS = ['name', 'cpu', 'mem', 'restarts', 'queue'] as const;
export type SortKey = (typeof SORT_KEYS)[number];

const FIGURES: Readonly<Record<Exclude<SortKey, 'name'>, (task: Fields) => unknown>> = {
  cpu: (task) => task.cpu_percent,
  mem: (task) => task.rss_kb,
  restarts: (task) => task.restarts_total,
  queue: (task) => fieldsOf(task.queue).length,
};

/** cam2 before cam10. */
const names = new Intl.Collator('en', { numeric: true });

/** Tasks by name, or the highest figure first; those without it last, and equal ones by name. */
export function inOrder(tasks: readonly Fields[], by: SortKey): Fields[] {
  const figure = by === 'name' ? () => 0 : FIGURES[by];
  const ranked = tasks.map((task) => ({ task, figure: numberOf(figure(task)) ?? -1, name: textOf(task.task_id) }));
  ranked.sort((a, b) => b.figure - a.figure || names.compare(a.name, b.name));
  return ranked.map(({ task }) => task);
}

import type { ProcessExit } from '../core/ports.js';
import type { RestartCause } from '../core/restart-causes.js';
import type { Notice } from './worker-states.js';

export interface LastExit extends ProcessExit {
  readonly stderr: readonly string[];
  /** Of its tree, as last sampled. */
  readonly rssKb: number | undefined;
}

export interface NoticeFacts {
  readonly generation: number;
  readonly pid: number | undefined;
  readonly exit: LastExit | undefined;
  readonly error: string | undefined;
}

/** The `data` of an `m/event` about a worker, in the wire's names. */
export function noticeData(notice: Notice, facts: NoticeFacts, nowMs: number): Record<string, unknown> {
  switch (notice.type) {
    case 'started':
    case 'run_late':
    case 'ready':
    case 'unkillable':
      return { generation: facts.generation, pid: facts.pid };
    case 'stopped':
    case 'exited':
      return exitData(facts.exit);
    case 'spawn_error':
      return { error: facts.error };
    case 'failed':
    case 'run_failed':
      return { cause: notice.cause, ...reason(notice.cause, facts) };
    case 'restarting':
      return { cause: notice.cause, ...reason(notice.cause, facts), next_start_ts: nowMs + notice.delayMs };
  }
}

function reason(cause: RestartCause, { exit, error }: NoticeFacts): Record<string, unknown> {
  return cause === 'spawn_error' ? { error } : exitData(exit);
}

function exitData(exit: LastExit | undefined): Record<string, unknown> {
  if (exit === undefined) return {};
  const { code, signal, rssKb, stderr } = exit;
  return { exit_code: code, signal, ...(rssKb === undefined ? {} : { rss_kb: rssKb }), stderr };
}

/** Why a worker is started again, on the wire as it stands here. */
export const RESTART_CAUSES = [
  'exit',
  'signal',
  'memory',
  'oom',
  'exec_timeout',
  'heartbeat',
  'stale',
  'ready_timeout',
  'spawn_error',
  'command',
] as const;
export type RestartCause = (typeof RESTART_CAUSES)[number];

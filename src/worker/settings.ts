import { bareHost, isLoopback } from '../core/address.js';
import { mismatch, type SuperNodeError } from '../core/errors.js';
import { Topics, taskIdOf } from '../core/topics.js';

/** How a worker reaches its node; all given. */
export interface Settings {
  readonly url: string;
  readonly taskId: string;
  /** Undefined for a net client, which the node did not start. */
  readonly token: string | undefined;
  readonly generation: string;
  readonly keepaliveS: number;
  readonly topics: Topics;
  readonly startParams: string;
  /** Which worker of a pool, from 1. */
  readonly instance: number;
  readonly reconnectMs: number;
}

/** What of {@link Settings} a program may give itself. */
export interface SettingsGiven {
  readonly url?: string | undefined;
  readonly taskId?: string | undefined;
  readonly token?: string | undefined;
  readonly keepaliveS?: number | undefined;
  readonly prefix?: string | undefined;
  readonly startParams?: string | undefined;
}

const DEFAULT_KEEPALIVE_S = 60;
const KEEPALIVE_S_MAX = 65_535;
/** A node on this machine is back at once after a restart; others are spared. */
const RECONNECT_LOOPBACK_MS = 100;
const RECONNECT_MS = 1_000;

/** The given values over those of the environment.
 *  @throws SuperNodeError SN_ERR_CONFIG, SN_ERR_TASK_ID */
export function settingsOf(given: SettingsGiven, env: NodeJS.ProcessEnv): Settings {
  const url = given.url ?? env.SN_URL;
  if (url === undefined || !URL.canParse(url)) {
    throw invalid('url (or SN_URL)', 'a URL such as mqtt://127.0.0.1:1883', url);
  }
  const taskId = taskIdOf(given.taskId ?? env.SN_TASK_ID);
  const keepaliveS = given.keepaliveS ?? Number(env.SN_KEEPALIVE ?? DEFAULT_KEEPALIVE_S);
  if (!Number.isInteger(keepaliveS) || keepaliveS < 1 || keepaliveS > KEEPALIVE_S_MAX) {
    throw invalid('keepaliveS (or SN_KEEPALIVE)', `seconds from 1 to ${KEEPALIVE_S_MAX}`, keepaliveS);
  }
  const instance = Number((taskId === env.SN_TASK_ID ? env.SN_INSTANCE : undefined) ?? 1);
  if (!Number.isInteger(instance) || instance < 1) throw invalid('SN_INSTANCE', 'an integer from 1', env.SN_INSTANCE);
  return {
    url,
    taskId,
    // The token of the environment belongs to the task of the environment.
    token: given.token ?? (taskId === env.SN_TASK_ID ? env.SN_TOKEN : undefined),
    generation: env.SN_GENERATION ?? '0',
    keepaliveS,
    topics: new Topics(given.prefix ?? env.SN_TOPIC_PREFIX ?? ''),
    startParams: given.startParams ?? env.SN_START_PARAMS ?? '',
    instance,
    reconnectMs: isLoopback(bareHost(new URL(url).hostname)) ? RECONNECT_LOOPBACK_MS : RECONNECT_MS,
  };
}

function invalid(what: string, expected: string, got: unknown): SuperNodeError {
  return mismatch('SN_ERR_CONFIG', what, expected, got);
}

import { pino } from 'pino';
import pretty from 'pino-pretty';
import { escapeJson } from '../core/controls.js';
import type { Logger } from '../core/ports.js';

export interface LogOptions {
  /** Least level that is logged. Default `info`. */
  readonly level?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined;
  /** `auto`, the default: pretty on a terminal, JSON lines otherwise. */
  readonly format?: 'auto' | 'pretty' | 'json' | undefined;
  /** Where the lines go. Default: stdout. */
  readonly stream?: (NodeJS.WritableStream & { isTTY?: boolean }) | undefined;
}

/** JSON lines that a stdout which is not read may hold up before further ones are lost. */
const HELD_BYTES_MAX = 1_048_576;

/** Words that must never show, as a field of a log line or one level below one. */
const SECRETS = ['password', 'token', 'secret', 'authorization', 'SN_TOKEN', 'SN_PASSWORD'];

/** The logger of a node. A reader of stdout that stands still costs lines, never the node's time. */
export function createLog(options: LogOptions = {}): Logger {
  const { level = 'info', format = 'auto', stream } = options;
  const isTTY = (stream ?? process.stdout).isTTY === true;
  const isPretty = format === 'pretty' || (format === 'auto' && isTTY);
  const destination = isPretty
    ? pretty({
        colorize: isTTY && !process.env.NO_COLOR,
        translateTime: 'SYS:HH:MM:ss.l',
        singleLine: true,
        destination: stream ?? 1,
      })
    : (stream ?? pino.destination({ dest: 1, sync: false, maxLength: HELD_BYTES_MAX }));
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Lines of workers are in it, which must not turn a terminal's text round.
      hooks: { streamWrite: (line) => escapeJson(line, isPretty) },
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '[hidden]' },
    },
    destination,
  );
  return asPort(log);
}

function asPort(log: pino.Logger): Logger {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    child: (fields) => asPort(log.child(fields)),
  };
}

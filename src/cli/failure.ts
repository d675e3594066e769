import { SuperNodeError } from '../core/errors.js';
import { oneLine } from './text.js';

/** Exit codes; they stand in the help and in docs/cli.md. */
export const EXIT = { ok: 0, refused: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;

/** An end of the command that is not a success. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: number;
  /** The `SN_ERR_…` of the node, where it gave one. */
  readonly code: string | undefined;
  /** True where everything that is to be said has been said. */
  readonly silent: boolean;

  constructor(exitCode: number, message: string, options: { code?: string | undefined; silent?: boolean } = {}) {
    super(message);
    this.exitCode = exitCode;
    this.code = options.code;
    this.silent = options.silent ?? false;
  }
}

/** The end by SIGINT or SIGTERM. */
export function interruption(signal: AbortSignal): Failure {
  const exitCode = typeof signal.reason === 'number' ? signal.reason : EXIT.interrupted;
  return new Failure(exitCode, 'interrupted', { silent: true });
}

/** Any thrown thing as an end of the command: a fault of ours or of a library is one line as well. */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof SuperNodeError) {
    const exitCode = thrown.code === 'SN_ERR_CONFIG' || thrown.code === 'SN_ERR_REQUEST' ? EXIT.usage : EXIT.refused;
    return new Failure(exitCode, thrown.message, { code: thrown.code });
  }
  return new Failure(EXIT.refused, thrown instanceof Error ? thrown.message : String(thrown));
}

/** How a failure reads on stderr: one line, whatever the message holds. */
export function failureLine({ message, code }: Failure): string {
  return `super-node: ${oneLine(message)}${code === undefined ? '' : ` (${code})`}`;
}

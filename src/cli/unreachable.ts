import { shownUrl } from '../core/address.js';
import { EXIT, Failure } from './failure.js';
import type { NodeAddress } from './node-client.js';

/** The ends of a command that has no node to speak to: exit code 3. */

export function cannotConnect({ url }: NodeAddress, why: string): Failure {
  return new Failure(EXIT.unreachable, `cannot connect to ${shownUrl(url)}: ${why}`);
}

export function lost({ url }: NodeAddress): Failure {
  return new Failure(EXIT.unreachable, `the connection to ${shownUrl(url)} was lost`);
}

/** @param place Topic or path */
export function noAnswer({ url }: NodeAddress, place: string, timeoutMs: number, advice = ''): Failure {
  return new Failure(
    EXIT.unreachable,
    `${shownUrl(url)} did not answer on ${place} within ${Math.round(timeoutMs)} ms${advice}`,
  );
}

export const WRONG_PASSWORD = 'the node does not accept this user name and password';

/** An error of a socket, in words. */
export function socketReason({ code, message }: Error & { code?: unknown }): string {
  if (code === 'ECONNREFUSED') return 'nobody listens there (ECONNREFUSED); is the node running?';
  if (code === 'ENOTFOUND') return 'the host name is not known (ENOTFOUND)';
  return message || String(code);
}

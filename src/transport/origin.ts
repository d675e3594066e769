import { bareHost, isLoopback, urlHost } from '../core/address.js';

export interface ListenerNames {
  /** The address or name it binds, as configured. */
  readonly host: string;
  /** Web origins that may connect beside its own. */
  readonly origins: readonly string[];
}

export interface RequestSource {
  readonly host: string | undefined;
  readonly origin: string | undefined;
}

/** Why a request must not be served, or undefined. A browser tells with `Origin` which page asks, and with `Host` whom
 *  it believes to ask: a page of somebody else fails the first, a name that was rebound to our address the second
 *  (RFC 6454; RFC 9110 §7.2). Programs send no `Origin`. */
export function refuseSource(source: RequestSource, names: ListenerNames): string | undefined {
  const { host, origin } = source;
  if (host === undefined || !isNameOf(host, names.host)) {
    return `Host: expected a name of this listener, got ${JSON.stringify(host ?? '')}`;
  }
  if (origin === undefined || names.origins.includes(origin)) return undefined;
  if (originHost(origin) === host.toLowerCase()) return undefined;
  return `Origin: expected the listener's own or one that "origins" lists, got ${JSON.stringify(origin.slice(0, 200))}`;
}

/** The port may be another one: a tunnel to the same machine. */
function isNameOf(hostHeader: string, bound: string): boolean {
  const name = hostHeader.toLowerCase().replace(/:\d+$/, '');
  return name === urlHost(bound).toLowerCase() || isLoopback(bareHost(name));
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

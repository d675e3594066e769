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
  /** `Sec-Fetch-Site`: how the page that asks stands to us, as browsers tell where they send no `Origin`. */
  readonly site?: string | undefined;
}

/** `none`: the user asks, not a page. */
const OWN_SITES = new Set(['same-origin', 'none']);

/** Why a request must not be served, or undefined. A browser tells with `Origin` which page asks, and with `Host` whom
 *  it believes to ask: a page of somebody else fails the first, a name that was rebound to our address the second
 *  (RFC 6454; RFC 9110 §7.2). Programs send no `Origin`. */
export function refuseSource(source: RequestSource, names: ListenerNames): string | undefined {
  const { host, origin, site } = source;
  if (host === undefined || !isNameOf(host, names.host)) {
    return `Host: expected a name of this listener, got ${JSON.stringify(host ?? '')}`;
  }
  // An image or a link of a foreign page: a GET that takes entries must not come of it (W3C Fetch Metadata §2.1).
  if (origin === undefined && site !== undefined && !OWN_SITES.has(site)) {
    return `Sec-Fetch-Site: expected a page of this listener, got ${JSON.stringify(site.slice(0, 200))}`;
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

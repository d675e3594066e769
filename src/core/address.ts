/** Where a listener binds when its config names no host. */
export const DEFAULT_HOST = '127.0.0.1';

/** Whether a host is this machine alone: 127.0.0.0/8, ::1 and localhost (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3,
 *  RFC 6761 §6.3). Takes names as configs write them, without brackets. */
export function isLoopback(host: string): boolean {
  const octets = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  if (octets !== null) return octets.slice(1).every((octet) => Number(octet) <= 255);
  return host === '::1' || host.toLowerCase() === 'localhost';
}

/** A host as URLs write it: an IPv6 address in brackets (RFC 3986 §3.2.2). */
export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** The other way: a host of a URL or a `Host` header, its port taken off before. */
export function bareHost(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

/** A URL for people to read: without the credentials that may stand in it. */
export function shownUrl(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//');
}

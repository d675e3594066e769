import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { SuperNodeError } from '../core/errors.js';
import { WORKER_TOKEN_PREFIX } from '../core/worker-token.js';
import type { Caller } from '../router/request.js';
import type { Identity } from '../transport/channel.js';
import { type ListenerNames, refuseSource } from '../transport/origin.js';

export type WorkerIdentity = Extract<Identity, { role: 'worker' }>;

/** Who sent a request, as far as it has shown. */
export interface Party {
  readonly caller: Caller;
  /** The worker whose token it has. */
  readonly worker: WorkerIdentity | undefined;
}

/** Without users everybody who may connect is one. */
const OPERATOR: Party = { caller: { id: 'http', role: 'operator' }, worker: undefined };

const HOSTS_MAX = 16;

const OPEN_PATHS = '/docs';

const BASIC = /^basic +([\w+/=-]+) *$/i;

/** The one place that says who a request is from, and whether it may come at all. */
export class Access {
  readonly #names: ListenerNames;
  /** What `Host` said in requests that were well, so that most are judged by a look. */
  readonly #hosts = new Set<string>();
  readonly #identify: (username: string, token: string) => WorkerIdentity | undefined;

  constructor(names: ListenerNames, identify: (username: string, token: string) => WorkerIdentity | undefined) {
    this.#names = names;
    this.#identify = identify;
  }

  /** @throws SuperNodeError SN_ERR_FORBIDDEN: a web page of somebody else, or a name that is not ours;
   *  SN_ERR_UNAUTHORIZED: a token of no running worker */
  admit({ headers, url = '' }: IncomingMessage): Party {
    const { host, origin } = headers;
    if (host !== undefined && this.#hosts.has(host) && isPlain(headers)) return OPERATOR;
    // A link to the documents may stand on any page: they say nothing of this node alone, and change nothing.
    const site = url.startsWith(OPEN_PATHS) ? undefined : firstOf(headers['sec-fetch-site']);
    const why = refuseSource({ host, origin, site }, this.#names);
    if (why !== undefined) throw new SuperNodeError('SN_ERR_FORBIDDEN', why);
    if (host !== undefined && this.#hosts.size < HOSTS_MAX) this.#hosts.add(host);
    return headers.authorization === undefined ? OPERATOR : this.#partyOf(headers.authorization);
  }

  /** What is no token of ours says nothing: there are no users yet. */
  #partyOf(authorization: string): Party {
    const [, encoded] = BASIC.exec(authorization) ?? [];
    if (encoded === undefined) return OPERATOR;
    const text = Buffer.from(encoded, 'base64').toString('utf8');
    const at = text.indexOf(':');
    const token = text.slice(at + 1);
    if (at === -1 || !token.startsWith(WORKER_TOKEN_PREFIX)) return OPERATOR;
    const worker = this.#identify(text.slice(0, at), token);
    if (worker === undefined) {
      throw new SuperNodeError('SN_ERR_UNAUTHORIZED', 'Authorization: expected the token of a running worker');
    }
    return { caller: { id: worker.taskId, role: 'worker', taskId: worker.taskId }, worker };
  }
}

/** Of a program that shows nothing of itself. */
function isPlain({ origin, authorization, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  return origin === undefined && authorization === undefined && site === undefined;
}

function firstOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

import type { IncomingMessage } from 'node:http';
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

const BASIC = /^basic +([\w+/=-]+) *$/i;

/** The one place that says who a request is from, and whether it may come at all. */
export class Access {
  readonly #names: ListenerNames;
  readonly #identify: (username: string, token: string) => WorkerIdentity | undefined;

  constructor(names: ListenerNames, identify: (username: string, token: string) => WorkerIdentity | undefined) {
    this.#names = names;
    this.#identify = identify;
  }

  /** @throws SuperNodeError SN_ERR_FORBIDDEN: a web page of somebody else, or a name that is not ours;
   *  SN_ERR_UNAUTHORIZED: a token of no running worker */
  admit({ headers }: IncomingMessage): Party {
    const why = refuseSource({ host: headers.host, origin: headers.origin }, this.#names);
    if (why !== undefined) throw new SuperNodeError('SN_ERR_FORBIDDEN', why);
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

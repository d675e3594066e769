import { jsonText } from '../core/json-text.js';
import { entryText, entryToWire } from './entry-wire.js';
import type { Lease } from './ports.js';
import type { Envelope, Reply } from './request.js';

export interface FetchReplyOptions {
  readonly lease: Lease;
  /** Payloads of all entries as base64. */
  readonly base64: boolean;
  readonly transaction: unknown;
  readonly replyTo: string | undefined;
}

/** The answer to a fetch. Its text is put together here, since it may hold ten thousand entries: objects for
 *  `JSON.stringify` would cost three times as much. */
export class FetchReply implements Reply {
  readonly replyTo: string | undefined;
  readonly code = undefined;
  readonly #options: FetchReplyOptions;

  constructor(options: FetchReplyOptions) {
    this.#options = options;
    this.replyTo = options.replyTo;
  }

  get envelope(): Envelope {
    const { lease, base64, transaction } = this.#options;
    const entries = lease.entries.map((entry) => entryToWire(entry, base64));
    return { status: 'ok', data: { entries, ...this.#about() }, ...(transaction === undefined ? {} : { transaction }) };
  }

  json(): string | undefined {
    const { lease, base64, transaction } = this.#options;
    const about = JSON.stringify(this.#about()).slice(1);
    const told = transaction === undefined ? '' : jsonText(transaction);
    if (told === undefined) return undefined;
    let entries = '';
    for (const entry of lease.entries) entries += `${entries === '' ? '' : ','}${entryText(entry, base64)}`;
    return `{"status":"ok","data":{"entries":[${entries}],${about}${told === '' ? '' : `,"transaction":${told}`}}`;
  }

  readonly delivered = (arrived: boolean): void => {
    const { lease } = this.#options;
    if (arrived) lease.settle();
    else lease.giveBack();
  };

  #about() {
    const { epoch, dropped, remaining, leaseId } = this.#options.lease;
    return {
      ...(epoch === undefined ? {} : { epoch }),
      dropped,
      remaining,
      ...(leaseId === undefined ? {} : { lease: leaseId }),
    };
  }
}

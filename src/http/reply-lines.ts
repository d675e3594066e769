import type { ServerResponse } from 'node:http';
import { LINES_TYPE } from './media-types.js';

type AnswerHeaders = Readonly<Record<string, number | string | string[] | undefined>>;

/** A response of lines, each written when it is there. */
export class ReplyLines {
  readonly #response: ServerResponse;
  readonly #headers: AnswerHeaders;

  /** @param headers What every answer has */
  constructor(response: ServerResponse, headers: AnswerHeaders) {
    this.#response = response;
    this.#headers = headers;
  }

  get hasBegun(): boolean {
    return this.#response.headersSent;
  }

  /** A promise: there is no room for the next one before it is settled. */
  write(line: unknown): undefined | Promise<void> {
    this.#begin();
    if (this.#response.destroyed || this.#response.write(`${JSON.stringify(line)}\n`)) return undefined;
    return this.#drained();
  }

  end(): void {
    this.#begin();
    this.#response.end();
  }

  #begin(): void {
    if (!this.hasBegun) this.#response.writeHead(200, { ...this.#headers, 'content-type': LINES_TYPE });
  }

  /** Never rejects: a client that is gone reads no more. */
  #drained(): Promise<void> {
    const response = this.#response;
    return new Promise((resolve) => {
      const done = () => {
        response.off('drain', done);
        response.off('close', done);
        resolve();
      };
      response.once('drain', done);
      response.once('close', done);
    });
  }
}

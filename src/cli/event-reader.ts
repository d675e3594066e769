/** One server-sent event. Where it stands in the stream is left out: nobody comes back to it. */
export interface ServerEvent {
  /** `message` where it names none. */
  readonly type: string;
  readonly data: string;
}

const LINE_END = /\r\n|\r|\n/g;

/** Reads a stream of server-sent events [HTML 9.2.6], cut anywhere. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  /** A line whose end is still to come, and how much of it has none for sure. */
  #rest = '';
  #seen = 0;
  /** The last chunk ended with CR: a LF that begins the next one belongs to it. */
  #endedWithReturn = false;
  #type = '';
  #data: string[] = [];

  /** The events that are whole now. */
  push(chunk: Uint8Array): ServerEvent[] {
    const events: ServerEvent[] = [];
    for (const line of this.#lines(this.#decoder.decode(chunk, { stream: true }))) {
      if (line !== '') this.#field(line);
      else if (this.#data.length > 0) events.push(this.#event());
      else this.#type = '';
    }
    return events;
  }

  #lines(text: string): string[] {
    if (text === '') return [];
    this.#rest += this.#endedWithReturn && text.startsWith('\n') ? text.slice(1) : text;
    this.#endedWithReturn = text.endsWith('\r');
    const lines: string[] = [];
    let from = 0;
    LINE_END.lastIndex = this.#seen;
    for (let end = LINE_END.exec(this.#rest); end !== null; end = LINE_END.exec(this.#rest)) {
      lines.push(this.#rest.slice(from, end.index));
      from = LINE_END.lastIndex;
    }
    this.#rest = this.#rest.slice(from);
    this.#seen = this.#rest.length;
    return lines;
  }

  /** A comment has no name. */
  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#type = value;
  }

  #event(): ServerEvent {
    const event = { type: this.#type || 'message', data: this.#data.join('\n') };
    this.#type = '';
    this.#data = [];
    return event;
  }
}

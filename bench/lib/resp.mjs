import { once } from 'node:events';
import { connect } from 'node:net';

/** As much of a Redis client as the benchmarks need (RESP2): commands may be written one after the other, replies come
 *  in their order. */
export async function openRedis(port) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return new RedisClient(socket);
}

/** A command as bytes; words are text or bytes. */
export function command(...words) {
  const parts = words.map((word) => (word instanceof Buffer ? word : Buffer.from(String(word))));
  const framed = parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')]);
  return Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...framed]);
}

class RedisClient {
  #socket;
  #rest = Buffer.alloc(0);
  #waiting = [];

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('Redis closed the connection')));
  }

  /** Writes commands; resolves with their replies, or rejects with the first that is an error. */
  async send(...commands) {
    const replies = commands.map(() => new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })));
    this.#socket.write(Buffer.concat(commands));
    return Promise.all(replies);
  }

  close() {
    this.#socket.destroy();
  }

  #take(chunk) {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    for (let found = parse(this.#rest, at); found !== undefined; found = parse(this.#rest, at)) {
      at = found.end;
      const { resolve, reject } = this.#waiting.shift();
      if (found.value instanceof Error) reject(found.value);
      else resolve(found.value);
    }
    this.#rest = this.#rest.subarray(at);
  }

  #fail(error) {
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting = [];
  }
}

/** One reply, and where the next one begins; undefined: there is more of it to come. */
function parse(bytes, at) {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString('latin1', at + 1, lineEnd);
  const next = lineEnd + 2;
  switch (String.fromCharCode(bytes[at])) {
    case '$':
      return bulk(bytes, next, Number(line));
    case '*':
      return list(bytes, next, Number(line));
    case ':':
      return { value: Number(line), end: next };
    case '-':
      return { value: new Error(`Redis: ${line}`), end: next };
    default:
      return { value: line, end: next };
  }
}

function bulk(bytes, from, length) {
  if (length < 0) return { value: null, end: from };
  const end = from + length;
  return end + 2 > bytes.length ? undefined : { value: bytes.subarray(from, end), end: end + 2 };
}

function list(bytes, from, length) {
  if (length < 0) return { value: null, end: from };
  const value = [];
  let end = from;
  while (value.length < length) {
    const found = parse(bytes, end);
    if (found === undefined) return undefined;
    value.push(found.value);
    end = found.end;
  }
  return { value, end };
}

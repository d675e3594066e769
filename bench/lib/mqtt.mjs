import { once } from 'node:events';
import { connect } from 'node:net';

/** As much of an MQTT 3.1.1 client as the benchmarks need: cheap, and without a timer of its own. */

export const PINGREQ = Buffer.from([0xc0, 0]);
const DISCONNECT = Buffer.from([0xe0, 0]);
const CONNACK = 2;
const PUBLISH = 3;
const PUBACK = 4;
const SUBACK = 9;
const PINGRESP = 13;

function field(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint16(bytes.length), bytes]);
}

function uint16(value) {
  return Buffer.from([value >> 8, value & 0xff]);
}

function frame(header, ...parts) {
  const body = Buffer.concat(parts);
  const length = [];
  let rest = body.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from([header, ...length]), body]);
}

export function publishFrame(topic, payload, qos, packetId = 0) {
  return frame(0x30 | (qos << 1), field(topic), qos > 0 ? uint16(packetId) : Buffer.alloc(0), payload);
}

export function connectFrame(clientId, { keepaliveS = 0, clean = true, username, password }) {
  const flags = (clean ? 0x02 : 0) | (username === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40);
  const credentials = [username, password].filter((text) => text !== undefined).map(field);
  return frame(0x10, field('MQTT'), Buffer.from([4, flags]), uint16(keepaliveS), field(clientId), ...credentials);
}

/** Opens a connection; resolves with it after CONNACK 0, rejects otherwise.
 *  @param {{ keepaliveS?: number, clean?: boolean, username?: string, password?: string }} [options] */
export async function openMqtt(port, clientId, options = {}) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const client = new MqttClient(socket);
  await once(socket, 'connect');
  socket.write(connectFrame(clientId, options));
  const code = await client.answer('connack');
  if (code !== 0) throw new Error(`CONNACK: expected 0, got ${code}`);
  return client;
}

class MqttClient {
  /** Counted since the connection began. */
  acks = 0;
  messages = 0;
  /** Called once a chunk of the socket has been worked off. */
  onProgress = () => undefined;
  /** Given: called with topic and payload of each message. */
  onMessage;

  #socket;
  #rest;
  #answers = {};
  #closed = false;

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the broker closed the connection')));
  }

  /** False: `drained` tells when it is time for more. */
  write(bytes) {
    return this.#socket.write(bytes);
  }

  async drained() {
    if (this.#socket.writableNeedDrain) await once(this.#socket, 'drain');
  }

  /** Reads nothing more. */
  pause() {
    this.#socket.pause();
  }

  async subscribe(filter, qos) {
    this.write(frame(0x82, uint16(1), field(filter), Buffer.from([qos])));
    const granted = await this.answer('suback');
    if (granted !== qos) throw new Error(`SUBACK for ${filter}: expected ${qos}, got ${granted}`);
  }

  /** Resolves when the broker has worked off all that was written before. */
  async ping() {
    this.write(PINGREQ);
    await this.answer('pingresp');
  }

  /** Resolves when the broker has closed it as well. */
  close() {
    this.#closed = true;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.end(DISCONNECT);
    return closed;
  }

  answer(kind) {
    return new Promise((resolve, reject) => {
      this.#answers[kind] = { resolve, reject };
    });
  }

  #settle(kind, value) {
    this.#answers[kind]?.resolve(value);
    delete this.#answers[kind];
  }

  #fail(error) {
    for (const { reject } of Object.values(this.#answers)) reject(error);
    this.#answers = {};
    if (!this.#closed) this.onProgress(error);
    this.#closed = true;
  }

  #take(chunk) {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    const acks = [];
    let offset = 0;
    while (offset + 2 <= bytes.length) {
      let body = offset + 1;
      let length = 0;
      let shift = 0;
      let more = true;
      while (more && body < bytes.length) {
        const byte = bytes[body++];
        length |= (byte & 0x7f) << shift;
        shift += 7;
        more = byte > 0x7f;
      }
      if (more || body + length > bytes.length) break;
      this.#frame(bytes, offset, body, body + length, acks);
      offset = body + length;
    }
    this.#rest = offset < bytes.length ? bytes.subarray(offset) : undefined;
    if (acks.length > 0) this.#socket.write(Buffer.from(acks));
    this.onProgress();
  }

  #frame(bytes, start, body, end, acks) {
    switch (bytes[start] >> 4) {
      case PUBLISH: {
        this.messages++;
        const qos = (bytes[start] >> 1) & 3;
        const topicEnd = body + 2 + bytes.readUInt16BE(body);
        if (qos > 0) acks.push(0x40, 2, bytes[topicEnd], bytes[topicEnd + 1]);
        if (this.onMessage) {
          const payload = bytes.subarray(qos > 0 ? topicEnd + 2 : topicEnd, end);
          this.onMessage(bytes.toString('utf8', body + 2, topicEnd), payload);
        }
        return;
      }
      case PUBACK:
        this.acks++;
        return;
      case CONNACK:
        this.#settle('connack', bytes[body + 1]);
        return;
      case SUBACK:
        this.#settle('suback', bytes[body + 2]);
        return;
      case PINGRESP:
        this.#settle('pingresp');
    }
  }
}

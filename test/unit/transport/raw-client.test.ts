import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { uint16At } from '../../../src/transport/bytes.js';
import {
  ACK_HEADER,
  encodeAcks,
  encodeConnack,
  encodePublish,
  encodeSuback,
  encodeUnsuback,
  PINGRESP,
} from '../../../src/transport/encode.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';
import { publishPacketId, publishTopicEnd } from '../../../src/transport/publish-packet.js';
import { type Frame, RawClient } from '../../fixtures/raw-client.js';

/** A server that says yes to everything, and keeps the first byte of what it was told. */
class YesServer {
  readonly headers: number[] = [];
  readonly #server: Server = createServer((socket) => this.#serve(socket));
  socket: Socket | undefined;

  async start(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address: AddressInfo | string | null = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error(`expected a port, got ${address}`);
    return address.port;
  }

  stop(): void {
    this.socket?.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    this.socket = socket;
    const reader = new FrameReader(10_000);
    socket.on('data', (chunk: Buffer) => {
      reader.feed(chunk);
      while (reader.next() === 'frame') {
        this.headers.push(reader.header);
        const answer = answerTo(reader);
        if (answer) socket.write(answer);
      }
    });
  }
}

function answerTo({ buffer, header, body }: FrameReader): Buffer | undefined {
  const id = uint16At(buffer, body);
  switch (header & 0xf6) {
    case 0x10:
      return encodeConnack(0, false);
    case 0x32:
      return encodeAcks(ACK_HEADER.puback, [publishPacketId(buffer, header, publishTopicEnd(buffer, body))]);
    case 0x34:
      return encodeAcks(ACK_HEADER.pubrec, [publishPacketId(buffer, header, publishTopicEnd(buffer, body))]);
    case 0x62:
      return encodeAcks(ACK_HEADER.pubcomp, [id]);
    case 0x82:
      return encodeSuback(id, [0]);
    case 0xa2:
      return encodeUnsuback(id);
    case 0xc0:
      return PINGRESP;
    default:
      return undefined;
  }
}

const isPublish = (frame: Frame) => frame.type === 'publish';

describe('RawClient', () => {
  let server: YesServer | undefined;
  let client: RawClient | undefined;
  afterEach(() => {
    client?.kill();
    server?.stop();
  });

  async function open(options: { sendConnect?: boolean; autoAck?: boolean } = {}) {
    server = new YesServer();
    client = await RawClient.connect(await server.start(), { clientId: 'c', ...options });
    return { server, client };
  }

  it('speaks both sides of each exchange', async () => {
    const { server, client } = await open();
    expect(client.connack).toMatchObject({ code: 0, sessionPresent: false });
    expect((await client.subscribe('a', { filter: 'b', qos: 1 })).codes).toEqual([0]);
    await client.publish('a', 'x');
    await client.publish('a', 'x', { qos: 1 });
    await client.publish('a', 'x', { qos: 2, retain: true });
    await client.unsubscribe('a');
    await client.ping();
    await client.disconnect();
    expect(server.headers).toEqual([0x10, 0x82, 0x30, 0x32, 0x35, 0x62, 0xa2, 0xc0, 0xe0]);
  });

  it('acknowledges what it gets, at once', async () => {
    const { server, client } = await open();
    const publish = { topic: 'a/b', payload: Buffer.from('x'), retain: false, dup: false };
    server.socket?.write(encodePublish({ ...publish, qos: 1, packetId: 7 }));
    server.socket?.write(encodePublish({ ...publish, qos: 2, packetId: 8 }));
    server.socket?.write(encodeAcks(ACK_HEADER.pubrel, [8]));
    const found = await client.waitForPublishes(2);
    expect(found).toMatchObject([
      { topic: 'a/b', payload: Buffer.from('x'), qos: 1, packetId: 7 },
      { qos: 2, packetId: 8 },
    ]);
    await client.waitFor((frame) => frame.type === 'pubrel');
    await client.ping();
    expect(server.headers).toEqual([0x10, 0x40, 0x50, 0x70, 0xc0]);
  });

  it('acknowledges nothing when told so', async () => {
    const { server, client } = await open({ autoAck: false });
    const publish = { topic: 'a', payload: Buffer.alloc(0), retain: false, dup: false };
    server.socket?.write(encodePublish({ ...publish, qos: 1, packetId: 7 }));
    expect(await client.waitFor(isPublish)).toMatchObject({ packetId: 7 });
    await client.ping();
    expect(server.headers).toEqual([0x10, 0xc0]);
  });

  it('sends no CONNECT when told so', async () => {
    const { server, client } = await open({ sendConnect: false });
    await client.ping();
    expect(server.headers).toEqual([0xc0]);
  });

  it('ends a wait when the connection ends, and says what came before', async () => {
    const { server, client } = await open();
    const waiting = client.waitFor(isPublish);
    server.socket?.end();
    await expect(waiting).rejects.toThrow(/got a close; before it came: connack/);
    await client.closed;
  });

  it('ends a wait after its time', async () => {
    const { client } = await open();
    await expect(client.waitFor(isPublish, 1)).rejects.toThrow(/none within 1 ms/);
  });
});

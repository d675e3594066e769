import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { encodePacket } from '../../../src/transport/encode.js';
import { FrameReader } from '../../../src/transport/frame-reader.js';

const PACKET_BYTES_MAX = 1_048_576;

function framesOf(reader: FrameReader): Buffer[] {
  const frames: Buffer[] = [];
  while (reader.next() === 'frame') frames.push(reader.buffer.subarray(reader.start, reader.end));
  return frames;
}

function packetOf(header: number, bodyBytes: number): Buffer {
  return encodePacket(header, [Buffer.alloc(bodyBytes, header)]);
}

/** `bytes` in pieces that end at the given places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

function same(frames: readonly Buffer[], packets: readonly Buffer[]): boolean {
  return (
    frames.length === packets.length && frames.every((frame, index) => frame.equals(packets[index] ?? Buffer.of()))
  );
}

describe('FrameReader', () => {
  it('gives header, body and end of each packet in one chunk, where it lies', () => {
    const chunk = Buffer.concat([packetOf(0x30, 5), packetOf(0xc0, 0), packetOf(0x32, 200)]);
    const reader = new FrameReader(PACKET_BYTES_MAX);
    reader.feed(chunk);
    const seen = [];
    while (reader.next() === 'frame') {
      expect(reader.buffer).toBe(chunk);
      seen.push([reader.header, reader.start, reader.body, reader.end]);
    }
    expect(seen).toEqual([
      [0x30, 0, 2, 7],
      [0xc0, 7, 9, 9],
      [0x32, 9, 12, 212],
    ]);
    expect(reader.pendingBytes).toBe(0);
    expect(reader.buffer.length).toBe(0);
  });

  it('joins only the packet that is cut, and goes on in the chunk behind it', () => {
    const bytes = Buffer.concat([packetOf(0x30, 4000), packetOf(0x31, 4000), packetOf(0x33, 4000)]);
    const [first, second] = [bytes.subarray(0, 5000), bytes.subarray(5000)];
    const reader = new FrameReader(PACKET_BYTES_MAX);
    reader.feed(first);
    reader.feed(second);
    const buffers = [];
    while (reader.next() === 'frame') buffers.push(reader.buffer);
    expect(buffers[0]).toBe(first);
    expect(buffers[1]).toHaveLength(4003);
    expect(buffers[2]).toBe(second);
  });

  it('takes no notice of an empty chunk', () => {
    const reader = new FrameReader(PACKET_BYTES_MAX);
    const chunks = [packetOf(0x30, 2000), Buffer.alloc(0), packetOf(0x31, 2000)];
    for (const chunk of chunks) reader.feed(chunk);
    const buffers = [];
    while (reader.next() === 'frame') buffers.push(reader.buffer);
    expect(buffers[0]).toBe(chunks[0]);
    expect(buffers[1]).toBe(chunks[2]);
  });

  it('gives the same packets however the bytes are cut', () => {
    const packet = fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.oneof(fc.nat(300), fc.nat(20_000)))
      .map(([header, bodyBytes]) => packetOf(header, bodyBytes));
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 60 }), (packets, places) => {
        const reader = new FrameReader(PACKET_BYTES_MAX);
        const frames = cut(Buffer.concat(packets), places).flatMap((chunk) => {
          reader.feed(chunk);
          return framesOf(reader);
        });
        expect(same(frames, packets)).toBe(true);
        expect(reader.pendingBytes).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same packets when everything is fed before the first is asked for', () => {
    const packet = fc.tuple(fc.nat(255), fc.nat(3000)).map(([header, bodyBytes]) => packetOf(header, bodyBytes));
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 200 }), (packets, places) => {
        const reader = new FrameReader(PACKET_BYTES_MAX);
        const bytes = Buffer.concat(packets);
        for (const chunk of cut(bytes, places)) reader.feed(chunk);
        expect(reader.pendingBytes).toBe(bytes.length);
        expect(same(framesOf(reader), packets)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('copies no large chunk because a small one waits behind it', () => {
    const reader = new FrameReader(PACKET_BYTES_MAX);
    const chunks = [packetOf(0x30, 10), packetOf(0x31, 2000), packetOf(0x32, 10)];
    for (const chunk of chunks) reader.feed(chunk);
    const buffers = [];
    while (reader.next() === 'frame') buffers.push(reader.buffer);
    expect(buffers[1]).toBe(chunks[1]);
  });

  it('counts what was fed and not yet returned', () => {
    const reader = new FrameReader(PACKET_BYTES_MAX);
    reader.feed(packetOf(0x30, 10).subarray(0, 7));
    expect(reader.next()).toBe('more');
    expect(reader.pendingBytes).toBe(7);
    reader.feed(Buffer.concat([packetOf(0x30, 10).subarray(7), Buffer.of(0xc0)]));
    expect(reader.next()).toBe('frame');
    expect(reader.pendingBytes).toBe(1);
  });

  it('never writes to a Buffer that it handed out', () => {
    const reader = new FrameReader(PACKET_BYTES_MAX);
    const frames: Buffer[] = [];
    const bytes = Buffer.concat(Array.from({ length: 300 }, (_, index) => packetOf(index % 256, index)));
    for (const byte of bytes) {
      reader.feed(Buffer.of(byte));
      frames.push(...framesOf(reader));
    }
    expect(Buffer.concat(frames)).toEqual(bytes);
  });

  describe('a length', () => {
    it.each([
      ['of four bytes is read', [0x30, 0xff, 0xff, 0xff, 0x7f], 268_435_460, 'more'],
      ['of more than four bytes is malformed', [0x30, 0xff, 0xff, 0xff, 0xff], 268_435_460, 'malformed'],
      ['that is cut waits for more', [0x30, 0xff, 0xff], 10, 'more'],
      ['that just fits passes', [0x30, 98], 100, 'more'],
      ['one above the bound is too large before the body is there', [0x30, 99], 100, 'too-large'],
      ['in two bytes counts them too', [0x30, 0xe2, 0x01], 228, 'too-large'],
    ] as const)('%s', (_, bytes, max, outcome) => {
      const whole = new FrameReader(max);
      whole.feed(Buffer.from(bytes));
      expect(whole.next()).toBe(outcome);

      const single = new FrameReader(max);
      let last = single.next();
      for (const byte of bytes) {
        single.feed(Buffer.of(byte));
        last = single.next();
      }
      expect(last).toBe(outcome);
    });

    it('is held against the bound of the moment', () => {
      const reader = new FrameReader(100);
      reader.feed(packetOf(0x30, 200));
      expect(reader.next()).toBe('too-large');
      reader.packetBytesMax = 1000;
      expect(reader.next()).toBe('frame');
    });
  });

  describe('fed byte by byte', () => {
    const originalCopy = Buffer.prototype.copy;
    afterEach(() => {
      Buffer.prototype.copy = originalCopy;
    });

    /** Bytes that the reader copies for one packet of that size. */
    function copiedBytes(bodyBytes: number): number {
      let copied = 0;
      Buffer.prototype.copy = function (this: Buffer, ...rest: Parameters<typeof originalCopy>) {
        const bytes = originalCopy.apply(this, rest);
        copied += bytes;
        return bytes;
      };
      const reader = new FrameReader(PACKET_BYTES_MAX * 2);
      const packet = packetOf(0x30, bodyBytes);
      let frames = 0;
      for (let at = 0; at < packet.length; at++) {
        reader.feed(packet.subarray(at, at + 1));
        if (reader.next() === 'frame') frames++;
      }
      expect(frames).toBe(1);
      return copied;
    }

    it.each([1_000, 65_536, 1_048_576])('copies each byte of %i at most twice', (bodyBytes) => {
      expect(copiedBytes(bodyBytes)).toBeLessThanOrEqual(2 * (bodyBytes + 5));
    });
  });

  it('never throws on random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 }), (chunks) => {
        const reader = new FrameReader(200);
        for (const chunk of chunks) {
          reader.feed(Buffer.from(chunk));
          framesOf(reader);
        }
      }),
    );
  });
});

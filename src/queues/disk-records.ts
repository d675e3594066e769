import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { Packr } from 'msgpackr';
import type { TaskId } from '../core/topics.js';
import type { DeadMark, LoggedEntry, Mark, QueueState } from './entry-log.js';

/** How queues lie on the disk, in order of the keys. `no` names one queue between two purges of it.
 *
 *      key                                        value
 *      0     ╎ about                              format
 *      0     ╎ queue   ╎ no                       task, state; or that its entries are to be deleted
 *      no    ╎ entry   ╎ seq                      ts ╎ arrival ╎ put ╎ topic length ╎ topic ╎ payload
 *      no    ╎ mark    ╎ group id ╎ page          seq in page ╎ attempts, for each
 *      no    ╎ dead    ╎ seq                      attempts, groups
 *      4 B     1 B       8 B, or 2 + 6 B
 *
 *  Numbers are big-endian, so that their order is that of the bytes. */

export const FORMAT = 1;

const KEY_BYTES = 13;
const KIND = { entry: 0, mark: 1, dead: 2, end: 255, about: 0, queue: 1 } as const;
/** What is not one queue's own. */
const COMMON_NO = 0;
const UINT32 = 2 ** 32;
/** Entries whose marks are written together. */
const PAGE_ENTRIES = 128;
const MARK_BYTES = 6;
const HEADER_BYTES = 26;
/** Values are laid into pieces of so many bytes; larger ones get a piece of their own. */
const SLAB_BYTES = 65_536;
/** So much of it is kept for the next batch. */
const PIECES_KEPT = 32;

const packr = new Packr({ useRecords: false });

/** Undefined: these bytes are none of ours. */
function unpack(value: Uint8Array): unknown {
  try {
    return packr.unpack(value);
  } catch {
    return undefined;
  }
}

function key(no: number, kind: number): Buffer {
  const bytes = Buffer.alloc(KEY_BYTES);
  bytes.writeUInt32BE(no, 0);
  bytes[4] = kind;
  return bytes;
}

function numberedKey(no: number, kind: number, value: number): Buffer {
  return numbered(key(no, kind), value);
}

function numbered(bytes: Buffer, value: number): Buffer {
  bytes.writeUInt32BE(Math.floor(value / UINT32), 5);
  bytes.writeUInt32BE(value % UINT32, 9);
  return bytes;
}

export const ABOUT_KEY = key(COMMON_NO, KIND.about);
export const queueKey = (no: number): Buffer => numberedKey(COMMON_NO, KIND.queue, no);
/** Keys of the entries of one queue, one after the other in the same bytes. */
export class EntryKeys {
  readonly #bytes: Buffer;

  constructor(no: number) {
    this.#bytes = key(no, KIND.entry);
  }

  /** Good until the next one. */
  of(seq: number): Uint8Array {
    return numbered(this.#bytes, seq);
  }
}

export const deadKey = (no: number, seq: number): Buffer => numberedKey(no, KIND.dead, seq);

/** All queues. */
export const QUEUES_RANGE = [queueKey(1), key(COMMON_NO, KIND.end)] as const;

/** Everything of one queue but its state. */
export function rangeOf(no: number): readonly [Buffer, Buffer] {
  return [key(no, KIND.entry), key(no, KIND.end)];
}

/** Its marks and its dead. */
export function marksRange(no: number): readonly [Buffer, Buffer] {
  return [key(no, KIND.mark), key(no, KIND.end)];
}

export function queueNoOf(bytes: Uint8Array): number {
  return numberIn(bytes);
}

export function seqOf(bytes: Uint8Array): number {
  return numberIn(bytes);
}

function numberIn(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getUint32(5) * UINT32 + view.getUint32(9);
}

// ------------------------------------------------------------------ entries

/** Lays the values of one batch one behind the other, in memory that the next batch uses again. */
export class Slab {
  #pieces: Buffer[] = [];
  #piece = 0;
  #used = 0;

  /** Nothing that was laid is needed any more. */
  reset(): void {
    this.#pieces.length = Math.min(this.#pieces.length, PIECES_KEPT);
    this.#piece = 0;
    this.#used = 0;
  }

  entry({ tsMs, arrival, putMs, topic, payload }: LoggedEntry): Uint8Array {
    const topicBytes = topic === undefined ? 0 : Buffer.byteLength(topic);
    const value = this.#room(HEADER_BYTES + topicBytes + payload.length);
    value.writeDoubleBE(tsMs, 0);
    value.writeDoubleBE(arrival, 8);
    value.writeDoubleBE(putMs, 16);
    value.writeUInt16BE(topicBytes, 24);
    if (topic !== undefined) value.write(topic, HEADER_BYTES);
    value.set(payload, HEADER_BYTES + topicBytes);
    return value;
  }

  #room(length: number): Buffer {
    if (length > SLAB_BYTES) return Buffer.allocUnsafeSlow(length);
    if (this.#used + length > SLAB_BYTES) {
      this.#piece += 1;
      this.#used = 0;
    }
    const piece = this.#pieces[this.#piece] ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#pieces[this.#piece] = piece;
    this.#used += length;
    return piece.subarray(this.#used - length, this.#used);
  }
}

/** @param value Its bytes are copied. Undefined: it is no entry */
export function readEntry(seq: number, value: Uint8Array): LoggedEntry | undefined {
  if (value.length < HEADER_BYTES) return undefined;
  const view = new DataView(value.buffer, value.byteOffset);
  const start = HEADER_BYTES + view.getUint16(24);
  if (value.length < start) return undefined;
  const payload = Buffer.allocUnsafe(value.length - start);
  payload.set(value.subarray(start, value.length));
  return {
    seq,
    tsMs: view.getFloat64(0),
    arrival: view.getFloat64(8),
    putMs: view.getFloat64(16),
    payload,
    topic: start === HEADER_BYTES ? undefined : Buffer.from(value.subarray(HEADER_BYTES, start)).toString(),
  };
}

// ------------------------------------------------------------------ marks

export function pageOf(seq: number): number {
  return Math.floor(seq / PAGE_ENTRIES);
}

/** The entries of a page, from, and up to but without. */
export function pageBounds(page: number): readonly [number, number] {
  return [page * PAGE_ENTRIES, (page + 1) * PAGE_ENTRIES];
}

export function markKey(no: number, groupId: number, page: number): Buffer {
  const bytes = key(no, KIND.mark);
  bytes.writeUInt16BE(groupId, 5);
  bytes.writeUIntBE(page, 7, 6);
  return bytes;
}

export function writeMarks(marks: readonly Mark[]): Buffer {
  const bytes = Buffer.alloc(marks.length * MARK_BYTES);
  marks.forEach(({ seq, attempts }, at) => {
    bytes.writeUInt16BE(seq % PAGE_ENTRIES, at * MARK_BYTES);
    bytes.writeUInt32BE(attempts, at * MARK_BYTES + 2);
  });
  return bytes;
}

export function writeDead({ attempts, groups }: DeadMark): Buffer {
  return packr.pack({ attempts, groups });
}

const DeadSchema = Type.Object({ attempts: Type.Integer(), groups: Type.Array(Type.String()) });

/** What stands in `marksRange`. Records that are none are left out. */
export function readMarks(records: Iterable<{ key: Uint8Array; value: Uint8Array }>): {
  marks: Mark[];
  dead: DeadMark[];
} {
  const marks: Mark[] = [];
  const dead: DeadMark[] = [];
  for (const { key: at, value } of records) {
    const bytes = Buffer.from(at);
    if (bytes[4] === KIND.dead) {
      const record = unpack(value);
      if (Value.Check(DeadSchema, record)) dead.push({ seq: seqOf(bytes), ...record });
      continue;
    }
    const view = new DataView(value.buffer, value.byteOffset);
    const groupId = bytes.readUInt16BE(5);
    const [from] = pageBounds(bytes.readUIntBE(7, 6));
    for (let offset = 0; offset + MARK_BYTES <= value.length; offset += MARK_BYTES) {
      marks.push({ groupId, seq: from + view.getUint16(offset), attempts: view.getUint32(offset + 2) });
    }
  }
  return { marks, dead };
}

// ------------------------------------------------------------------ queues

const Count = Type.Number({ minimum: 0 });

const StateSchema = Type.Object({
  epoch: Type.String(),
  seq: Count,
  lastTsMs: Count,
  lastArrival: Count,
  length: Count,
  bytes: Count,
  dropped: Count,
  discarded: Count,
  isDefaultUsed: Type.Boolean(),
  groups: Type.Array(Type.Object({ id: Count, name: Type.String(), cursor: Count, ahead: Count, dropped: Count })),
});

const QueueRecordSchema = Type.Union([
  Type.Object({ taskId: Type.Unsafe<TaskId>(Type.String()), state: StateSchema }),
  Type.Object({ deleted: Type.Literal(true) }),
]);
export type QueueRecord = Static<typeof QueueRecordSchema>;

export function writeQueue(taskId: TaskId, state: QueueState): Buffer {
  return packr.pack({ taskId, state });
}

/** A queue whose entries are being deleted. */
export function writeDeleted(): Buffer {
  return packr.pack({ deleted: true });
}

/** Undefined: it is no such record. */
export function readQueue(value: Uint8Array): QueueRecord | undefined {
  const record = unpack(value);
  return Value.Check(QueueRecordSchema, record) ? record : undefined;
}

export function writeAbout(): Buffer {
  return packr.pack({ format: FORMAT });
}

/** The format of a store. Undefined: these bytes tell none. */
export function readFormat(value: Uint8Array): number | undefined {
  const record = unpack(value);
  return Value.Check(Type.Object({ format: Type.Number() }), record) ? record.format : undefined;
}

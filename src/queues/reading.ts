import type { EntryLog, LoggedEntry } from './entry-log.js';
import { lowerBound } from './lower-bound.js';

/** Where to begin: with an entry, or with the first that is not older. */
export type Place = { readonly seq: number } | { readonly tsMs: number };

export interface ReadBounds {
  readonly max: number;
  /** The first entry is not held to it. */
  readonly bytesMax: number;
  readonly seqMax: number;
}

/** Looks at entries without taking them. */
export function readLog(log: EntryLog, from: Place, { max, bytesMax, seqMax }: ReadBounds): LoggedEntry[] {
  const entries: LoggedEntry[] = [];
  let bytes = 0;
  for (const seq of held(log, 'seq' in from ? from.seq : firstSince(log, from.tsMs, seqMax))) {
    const entry = seq > seqMax ? undefined : log.read(seq);
    if (entry === undefined) break;
    bytes += log.bytes(seq);
    if (entries.length > 0 && bytes > bytesMax) break;
    entries.push(entry);
    if (entries.length === max) break;
  }
  return entries;
}

/** What a log holds, in order. */
export function* held(log: EntryLog, from = 1): Iterable<number> {
  for (let seq = log.next(from); seq !== undefined; seq = log.next(seq + 1)) yield seq;
}

/** `tsMs` never falls within a log. */
function firstSince(log: EntryLog, tsMs: number, seqMax: number): number {
  return lowerBound(1, seqMax + 1, (at) => {
    const seq = log.next(at);
    const entry = seq === undefined ? undefined : log.read(seq);
    return entry !== undefined && entry.tsMs < tsMs;
  });
}

import { createHash, randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { LIMITS } from '../core/limits.js';
import type { Cancel, Clock, Random } from '../core/ports.js';

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after,
  every(periodMs, run) {
    const timer = setInterval(run, periodMs).unref();
    return () => clearInterval(timer);
  },
  soon(run) {
    setImmediate(run);
  },
};

/** `setTimeout` fires at once beyond 2³¹ − 1 ms, so a longer delay is waited for in pieces. */
function after(delayMs: number, run: () => void): Cancel {
  let timer: NodeJS.Timeout;
  const wait = (leftMs: number) => {
    const pieceMs = Math.min(leftMs, LIMITS.timerMsMax);
    timer = setTimeout(leftMs > pieceMs ? () => wait(leftMs - pieceMs) : run, pieceMs);
  };
  wait(delayMs);
  return () => clearTimeout(timer);
}

export const systemRandom: Random = {
  fraction: () => Math.random(),
  secret: (bytes) => randomBytes(bytes).toString('base64url'),
  hash: (text) => createHash('sha256').update(text).digest('hex'),
};

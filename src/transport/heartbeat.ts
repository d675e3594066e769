import { LIMITS } from '../core/limits.js';

/** The broker allows one and a half times the keepalive [MQTT-3.1.2-24]; heartbeats are held to the same. */
const TOLERANCE = LIMITS.keepaliveTolerance;

/** The longest silence of a connection before it counts as frozen. Milliseconds, Infinity: none.
 *  @param keepaliveS What the client asked for, 0: nothing.
 *  @param worker The heartbeat of its task where it is a worker's channel; 0 there leaves it to the keepalive, and a
 *  worker that asks for none is held to `workerKeepaliveS`. */
export function silenceLimitMs(
  keepaliveS: number,
  worker: { heartbeatMs: number; isProcess: boolean } | undefined,
): number {
  const keepaliveMs = keepaliveS > 0 ? keepaliveS * 1_000 : Number.POSITIVE_INFINITY;
  if (!worker) return TOLERANCE * keepaliveMs;
  if (worker.heartbeatMs > 0) return TOLERANCE * Math.min(keepaliveMs, worker.heartbeatMs);
  const isFree = worker.isProcess && keepaliveS === 0;
  return TOLERANCE * (isFree ? LIMITS.workerKeepaliveS * 1_000 : keepaliveMs);
}

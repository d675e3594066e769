import type { ConfigWire } from '../core/config-schema.js';
import { LIMITS } from '../core/limits.js';

/** The bounds of a node: what its config says, else the defaults. */
export function nodeLimits({ limits }: Pick<ConfigWire, 'limits'>) {
  return {
    packetBytesMax: limits?.packet_bytes ?? LIMITS.packetBytes,
    connectionsMax: limits?.connections ?? LIMITS.connectionsMax,
    subscriptionsPerClientMax: limits?.subscriptions_per_client ?? LIMITS.subscriptionsPerClientMax,
    takePrefetch: limits?.take_prefetch ?? LIMITS.takePrefetch,
    takeResumeMs: limits?.take_resume_ms ?? LIMITS.takeResumeMs,
    tasksMax: limits?.tasks ?? LIMITS.tasksMax,
    queueBytesMax: limits?.queue_bytes ?? LIMITS.queuesBytesMax,
    queueDiskBytesMax: limits?.queue_disk_bytes ?? LIMITS.queuesDiskBytesMax,
    sessionExpiryMs: 1_000 * (limits?.session_expiry_s ?? LIMITS.sessionExpiryS),
  };
}

import { SUBACK_REFUSED } from './encode.js';
import type { Subscription } from './subscribe-packet.js';

/** A SUBSCRIBE as the broker should see it, and how its answer becomes the client's. */
export interface SubackPlan {
  /** What remains: allowed filters, each once. */
  readonly passed: readonly Subscription[];
  /** Nothing was taken away: the packet can go on as it is. */
  readonly unchanged: boolean;
  /** One return code for each filter the client asked for [MQTT-3.8.4-5]. */
  codes(fromBroker: readonly number[]): number[];
}

/** Cuts refused filters, so that they leave no trace in a stored session, and repeated ones, for which Aedes answers
 *  with too few codes. Of repeated filters the last one counts [MQTT-3.8.4-3]. */
export function planSuback(requested: readonly Subscription[], allowed: readonly boolean[]): SubackPlan {
  const last = new Map<string, Subscription>();
  requested.forEach((subscription, index) => {
    if (!allowed[index]) return;
    last.delete(subscription.filter);
    last.set(subscription.filter, subscription);
  });
  const passed = [...last.values()];
  const positions = new Map(passed.map(({ filter }, position) => [filter, position]));
  return {
    passed,
    unchanged: passed.length === requested.length,
    codes: (fromBroker) =>
      requested.map(({ filter }, index) => {
        const position = allowed[index] ? positions.get(filter) : undefined;
        return position === undefined ? SUBACK_REFUSED : (fromBroker[position] ?? SUBACK_REFUSED);
      }),
  };
}

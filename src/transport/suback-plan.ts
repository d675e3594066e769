import { SUBACK_REFUSED } from './encode.js';
import type { Subscription } from './subscribe-packet.js';

/** Whether a client may have a filter, or has it from the node itself. */
export type Verdict = boolean | 'take';

/** A SUBSCRIBE as the broker should see it, and how its answer becomes the client's. */
export interface SubackPlan {
  /** What the node serves itself: takes, each filter once. */
  readonly taken: readonly Subscription[];
  /** What remains for the broker: allowed filters, each once. */
  readonly passed: readonly Subscription[];
  /** Nothing was taken away: the packet can go on as it is. */
  readonly unchanged: boolean;
  /** One return code for each filter the client asked for [MQTT-3.8.4-5]. */
  codes(fromBroker: readonly number[]): number[];
}

/** Cuts refused filters, so that they leave no trace in a stored session, and repeated ones, for which Aedes answers
 *  with too few codes. Of repeated filters the last one counts [MQTT-3.8.4-3]. */
export function planSuback(requested: readonly Subscription[], verdicts: readonly Verdict[]): SubackPlan {
  const passed = lastOf(requested, verdicts, true);
  const taken = lastOf(requested, verdicts, 'take');
  const positions = new Map(passed.map(({ filter }, position) => [filter, position]));
  return {
    taken,
    passed,
    unchanged: passed.length === requested.length,
    codes: (fromBroker) =>
      requested.map(({ filter, qos }, index) => {
        if (verdicts[index] === 'take') return Math.min(qos, 1);
        const position = verdicts[index] ? positions.get(filter) : undefined;
        return position === undefined ? SUBACK_REFUSED : (fromBroker[position] ?? SUBACK_REFUSED);
      }),
  };
}

/** Those of a verdict, of repeated filters the last one. */
function lastOf(requested: readonly Subscription[], verdicts: readonly Verdict[], wanted: Verdict): Subscription[] {
  const last = new Map<string, Subscription>();
  requested.forEach((subscription, index) => {
    if (verdicts[index] !== wanted) return;
    last.delete(subscription.filter);
    last.set(subscription.filter, subscription);
  });
  return [...last.values()];
}

import { collectDefaultMetrics, Registry } from 'prom-client';

/** How often the delay of the event loop is sampled. Each sample wakes the process, so not more often than that. */
const LOOP_PRECISION_MS = 20;
/** Each looks at every socket of the process, and their names break the rules of Prometheus. */
const LEFT_OUT = ['handles', 'requests', 'resources'].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);

let registry: Registry | undefined;

/** CPU, memory, files and event loop of the process, by the names that prom-client gives them. They are of the process,
 *  not of a node, and what measures them is never taken down: there is one for all, from the first scrape on. */
export function processMetrics(): Promise<string> {
  registry ??= newRegistry();
  return registry.metrics();
}

function newRegistry(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: LOOP_PRECISION_MS });
  for (const name of LEFT_OUT) register.removeSingleMetric(name);
  return register;
}

// A load of HTTP in a process of its own. Takes one order at a time from its parent and answers with what came of it:
// { url, method, body?, headers?, connections, amount } → { tookMs, p50Ms, p99Ms, failed, bytes }
import autocannon from 'autocannon';
import { answerOrders } from './orders.mjs';

answerOrders(async ({ url, method, body, headers, connections, amount }) => {
  const startedMs = performance.now();
  const result = await autocannon({ url, method, body, headers, connections, amount, timeout: 60, sampleInt: 50 });
  const failed = result.non2xx + result.errors + result.timeouts;
  const { p50, p99 } = result.latency;
  return { tookMs: performance.now() - startedMs, p50Ms: p50, p99Ms: p99, failed };
});

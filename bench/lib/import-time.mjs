// Imports modules one after the other in this fresh process and prints, as JSON, the milliseconds each took: what an
// earlier one brought is free for a later one. node import-time.mjs SPECIFIER …
const took = [];
for (const specifier of process.argv.slice(2)) {
  const startedMs = performance.now();
  await import(specifier);
  took.push(performance.now() - startedMs);
}
console.log(JSON.stringify({ bootMs: performance.nodeTiming.bootstrapComplete, took }));

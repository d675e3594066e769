// CPU of looking at processes, per look. node sampler.mjs node|pidusage WARM-UP LOOKS PID …; prints { cpuMs, found }.
import pidusage from 'pidusage';

const [kind, warmUp, looks, ...rest] = process.argv.slice(2);
const pids = rest.map(Number);
const look = kind === 'node' ? await ours() : async () => Object.keys(await pidusage(pids)).length;

for (let index = 0; index < Number(warmUp); index++) await look();
const before = process.cpuUsage();
let found = 0;
for (let index = 0; index < Number(looks); index++) found += await look();
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ cpuMs: (user + system) / 1_000 / Number(looks), found: found / Number(looks) }));
process.exit(0);

async function ours() {
  const { TreeUsages } = await import('../../dist/adapters/usage.js');
  const usages = new TreeUsages();
  const { identityOf } = await import('../../dist/adapters/proc.js');
  const leaders = pids.map(identityOf);
  return async () => (await usages.of(leaders)).size;
}

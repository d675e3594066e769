// The broker under test in a process of its own: plain Aedes, or the same Aedes with the node attached.
// node broker.mjs plain|node [task_id …]; sends { port } when it listens.
import { createServer } from 'node:net';
import { Aedes } from 'aedes';

const [kind, ...taskIds] = process.argv.slice(2);
const broker = await Aedes.createBroker();
let { handle } = broker;
if (kind === 'node') {
  const { attach } = await import('../../dist/index.js');
  const tasks = taskIds.map((task_id) => ({ task_id, queue: { overflow: 'drop_oldest' } }));
  ({ handle } = await attach(broker, { tasks }));
}
const server = createServer(handle).listen(0, '127.0.0.1', () => process.send?.({ port: server.address().port }));

// An orderly exit, so that a profile is written.
process.once('disconnect', () => process.exit(0));
process.once('SIGTERM', () => process.exit(0));

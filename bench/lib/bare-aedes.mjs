// The least that is an MQTT broker on Aedes: what a node is compared with. Says on stdout where it listens.
import { createServer } from 'node:net';
import { Aedes } from 'aedes';

const broker = await Aedes.createBroker();
const server = createServer(broker.handle).listen(0, '127.0.0.1', () => {
  console.log(`mqtt://127.0.0.1:${server.address().port}`);
});
process.once('SIGTERM', () => process.exit(0));

// The least that sends server-sent events: Node's own HTTP server, one write for each listener and each event. Sends
// { port } when it listens; a message { event } goes to all who listen.
import { createServer } from 'node:http';

const listeners = new Set();
const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write('retry: 2000\n\n');
  listeners.add(response);
  response.once('close', () => listeners.delete(response));
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));

process.on('message', ({ event }) => {
  const text = `data: ${JSON.stringify({ ts: Date.now(), payload: event })}\n\n`;
  for (const response of listeners) response.write(text);
});
process.once('disconnect', () => process.exit(0));
process.once('SIGTERM', () => process.exit(0));

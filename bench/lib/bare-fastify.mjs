// The least that takes and gives the same bytes over HTTP: a bare Fastify with two routes. Sends { port } when it listens;
// a message { answer, isMade } is what a fetch gets from then on: the text as it is, or made anew from its objects each time.
import fastify from 'fastify';

const TAKEN = '{"status":"ok","data":{"entries":1}}\n';
let answer = '';
let made;

const app = fastify();
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.post('/w/ch/:task', (_request, reply) => {
  reply.header('cache-control', 'no-store').type('application/json').send(TAKEN);
});
app.get('/m/fetch/:task', (_request, reply) => {
  reply
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(made ?? answer);
});
process.on('message', (order) => {
  answer = order.answer;
  made = order.isMade ? JSON.parse(answer) : undefined;
  process.send({ ok: true });
});
process.once('disconnect', () => process.exit(0));
process.once('SIGTERM', () => process.exit(0));
await app.listen({ host: '127.0.0.1', port: 0 });
process.send({ port: app.server.address().port });

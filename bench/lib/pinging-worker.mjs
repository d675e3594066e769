// A worker that pings each 20 ms, so that a SIGSTOP always comes right after a sign of life: the worst case.
import { openMqtt, PINGREQ } from './mqtt.mjs';

const { SN_URL, SN_TASK_ID, SN_TOKEN, SN_GENERATION, SN_KEEPALIVE } = process.env;
const client = await openMqtt(Number(new URL(SN_URL).port), `${SN_TASK_ID}-${SN_GENERATION}`, {
  keepaliveS: Number(SN_KEEPALIVE),
  username: SN_TASK_ID,
  password: SN_TOKEN,
});
client.onProgress = (error) => error && process.exit(1);
setInterval(() => client.write(PINGREQ), 20);

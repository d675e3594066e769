import { publishFrame } from './mqtt.mjs';

/** Requests to a node by a connection of their own, one at a time.
 *  @param client From `openMqtt`; its messages are taken.
 *  @returns {Promise<(topic: string, body?: object) => Promise<any>>} Resolves with the `data` of the reply. */
export async function requests(client) {
  let settle;
  client.onMessage = (_, payload) => settle(JSON.parse(payload.toString()));
  await client.subscribe('m/reply', 1);
  return async (topic, body = {}) => {
    const reply = new Promise((resolve, reject) => {
      settle = resolve;
      client.onProgress = (error) => error && reject(error);
    });
    client.write(publishFrame(topic, Buffer.from(JSON.stringify(body)), 0));
    const { status, data, error } = await reply;
    if (status !== 'ok') throw new Error(`${topic}: ${error}`);
    return data;
  };
}

import { urlHost } from '../core/address.js';
import { type Channel, mqttChannels, type Operation, socketChannels } from './asyncapi-channels.js';
import { MESSAGES } from './asyncapi-messages.js';
import { type JsonObject, withComponents } from './schema-components.js';

export interface AsyncApiOptions {
  /** Of the node. */
  readonly name: string;
  readonly version: string;
  /** Stands before every topic, not before paths. */
  readonly prefix: string;
  /** The listeners of the node; none: the document says nothing of where it is. */
  readonly servers: readonly ApiServer[];
}

/** A listener, as far as the document speaks of it. */
interface ApiServer {
  readonly type: 'mqtt' | 'http';
  readonly host: string;
  readonly port: number;
}

const OVERVIEW =
  'What a node hears and says on MQTT 3.1.1, and on its WebSockets that speak JSON. `send` and `receive` are seen from the node: what it sends, you subscribe to. `m/` is for those who manage and use, `w/` for workers.';

const PARAMETERS: Readonly<Record<string, JsonObject>> = {
  task_id: { description: 'The task: `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`.', examples: ['cam1'] },
  call: { description: 'An opaque word that names the call.', examples: ['k3J9'] },
  group: { description: 'A group of takers, named like a task.', examples: ['billing'] },
};

/** The AsyncAPI 3.0 document of the topics and the JSON WebSockets of a node. */
export function asyncApiDocument({ name, version, prefix, servers }: AsyncApiOptions): object {
  const mqtt = mqttChannels(prefix);
  const sockets = socketChannels();
  const places = serversOf(servers);
  return withComponents({
    asyncapi: '3.0.0',
    info: {
      title: name,
      version,
      description: OVERVIEW,
      license: { name: 'LGPL-3.0-or-later', url: 'https://www.gnu.org/licenses/lgpl-3.0.html' },
    },
    defaultContentType: 'application/json',
    ...(servers.length === 0 ? {} : { servers: { ...places.mqtt, ...places.sockets } }),
    channels: Object.fromEntries([
      ...mqtt.map((channel) => [channel.name, channelOf(channel, Object.keys(places.mqtt))]),
      ...sockets.map((channel) => [
        channel.name,
        { ...channelOf(channel, Object.keys(places.sockets)), bindings: { ws: socketBinding(channel) } },
      ]),
    ]),
    operations: Object.fromEntries(
      [...mqtt, ...sockets].flatMap((channel) =>
        channel.operations.map((operation) => [operation.name, operationOf(channel, operation)]),
      ),
    ),
    components: { messages: { ...MESSAGES } },
  });
}

function channelOf(
  { address, description, messages = [], operations }: Channel,
  servers: readonly string[],
): JsonObject {
  const all = new Set([...operations.flatMap((operation) => operation.messages), ...messages]);
  const parameters = [...address.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => [name, { ...PARAMETERS[name] }]);
  return {
    address,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters: Object.fromEntries(parameters) }),
    ...(servers.length === 0 ? {} : { servers: servers.map((server) => ({ $ref: `#/servers/${server}` })) }),
    messages: Object.fromEntries([...all].map((name) => [name, { $ref: `#/components/messages/${name}` }])),
  };
}

function operationOf(channel: Channel, { action, summary, messages, reply, qos, retain }: Operation): JsonObject {
  return {
    action,
    channel: { $ref: `#/channels/${channel.name}` },
    summary,
    messages: messages.map((message) => inChannel(channel.name, message)),
    ...(qos === undefined ? {} : { bindings: { mqtt: { qos, retain: retain ?? false, bindingVersion: '0.2.0' } } }),
    ...(reply === undefined
      ? {}
      : {
          reply: {
            channel: { $ref: `#/channels/${reply.channel}` },
            messages: reply.messages.map((message) => inChannel(reply.channel, message)),
          },
        }),
  };
}

function inChannel(channel: string, message: string): JsonObject {
  return { $ref: `#/channels/${channel}/messages/${message}` };
}

function socketBinding({ query }: Channel): JsonObject {
  return { method: 'GET', ...(query === undefined ? {} : { query }), bindingVersion: '0.1.0' };
}

/** MQTT is spoken on listeners of both types. */
function serversOf(servers: readonly ApiServer[]): { mqtt: JsonObject; sockets: JsonObject } {
  const mqtt: JsonObject = {};
  const sockets: JsonObject = {};
  for (const [index, { type, host, port }] of servers.entries()) {
    const place = { host: `${urlHost(host)}:${port}` };
    const number = index + 1;
    if (type === 'mqtt') {
      mqtt[`mqtt${number}`] = { ...place, protocol: 'mqtt', protocolVersion: '3.1.1', description: 'MQTT over TCP.' };
    } else {
      const description = 'MQTT over WebSocket, sub-protocol `mqtt`.';
      mqtt[`mqttSocket${number}`] = { ...place, pathname: '/mqtt', protocol: 'ws', description };
      sockets[`json${number}`] = { ...place, protocol: 'ws', description: 'WebSockets that speak JSON.' };
    }
  }
  return { mqtt, sockets };
}

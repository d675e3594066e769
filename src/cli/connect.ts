import { shownUrl } from '../core/address.js';
import { EXIT, Failure } from './failure.js';
import type { NodeAddress, NodeClient } from './node-client.js';

const MQTT_SCHEMES = ['mqtt:', 'mqtts:', 'ws:', 'wss:'];
const HTTP_SCHEMES = ['http:', 'https:'];

/** The schemes of a URL, as the help names them. */
export const SCHEMES = 'mqtt://, mqtts://, ws://, wss://, http:// or https://';

/** Finds a node by MQTT or HTTP, as its URL says. The client for the other one is not loaded.
 *  @throws Failure with exit code 2 for a URL that is none, 3 when nobody is there or the node refuses us */
export async function connectNode(address: NodeAddress, interrupted: AbortSignal): Promise<NodeClient> {
  const url = checkedUrl(address.url);
  if (HTTP_SCHEMES.includes(url.protocol)) {
    const { openHttp } = await import('./http-client.js');
    return openHttp(url, address, interrupted);
  }
  const { connectMqtt } = await import('./mqtt-client.js');
  return connectMqtt(url, address, interrupted);
}

function checkedUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || ![...MQTT_SCHEMES, ...HTTP_SCHEMES].includes(url.protocol) || !url.hostname) {
    throw new Failure(EXIT.usage, `--url: expected ${SCHEMES} and a host, got ${shownUrl(text)}`);
  }
  if (url.protocol.startsWith('ws') && url.pathname === '/') url.pathname = '/mqtt';
  return url;
}

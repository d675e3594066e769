import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import websocketStream from 'websocket-stream';
import type { WebSocket } from 'ws';

const SUB_PROTOCOLS = ['mqtt', 'mqttv3.1'];

/** Of the sub-protocols that a client offers the one that is spoken; false: none. */
export function subProtocol(offered: Set<string>): string | false {
  return SUB_PROTOCOLS.find((known) => offered.has(known)) ?? false;
}

/** MQTT over a WebSocket: its binary messages are a stream of bytes [MQTT-6.0.0-2]. */
export function mqttSocket(
  socket: WebSocket,
  request: IncomingMessage,
  handle: (stream: Duplex, request: IncomingMessage) => void,
): void {
  let stream: Duplex | undefined;
  // Before the stream's own listener, so that a text frame is not taken for bytes [MQTT-6.0.0-1].
  socket.on('message', (_data: unknown, isBinary: boolean) => {
    if (isBinary) return;
    socket.close(1003, 'expected binary frames');
    stream?.destroy();
  });
  // Its types are those of another copy of `ws`.
  stream = websocketStream(socket as never);
  handle(stream, request);
}

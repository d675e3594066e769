import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { hasMethods } from '../core/shape.js';

export interface LinkListener {
  data(chunk: Buffer): void;
  /** The peer will send no more. */
  end(): void;
  drain(): void;
  closed(error: Error | undefined): void;
}

/** What carries the bytes, with one face: a TCP or TLS socket, a WebSocket stream, or any Duplex a host brings. */
export interface Link {
  readonly kind: 'tcp' | 'websocket' | 'stream';
  readonly remoteAddress: string | undefined;
  /** False: the peer reads too slowly; `drain` tells when it caught up. */
  write(bytes: Buffer): boolean;
  /** Bytes were written that the peer's side has not taken yet. */
  readonly isWriting: boolean;
  cork(): void;
  uncork(): void;
  pause(): void;
  resume(): void;
  /** Flushes what was written, then closes. */
  end(): void;
  destroy(): void;
}

/** The WebSocket below a `websocket-stream`: pausing the stream alone does not stop the socket from reading. */
interface PausableSocket {
  pause(): void;
  resume(): void;
  terminate(): void;
}

const TCP_KEEPALIVE_MS = 15_000;

/** @param request The HTTP request that was upgraded, for the peer's address. */
export function openLink(stream: Duplex, request: IncomingMessage | undefined, listener: LinkListener): Link {
  let failure: Error | undefined;
  stream.on('data', (chunk: Buffer | string) => listener.data(typeof chunk === 'string' ? Buffer.from(chunk) : chunk));
  stream.on('end', () => listener.end());
  stream.on('drain', () => listener.drain());
  stream.on('error', (error: Error) => {
    failure = error;
  });
  stream.on('close', () => listener.closed(failure));
  if (stream instanceof Socket) {
    // Small frames must not wait for the peer's delayed acknowledgement.
    stream.setNoDelay(true);
    stream.setKeepAlive(true, TCP_KEEPALIVE_MS);
  }
  const webSocket = webSocketBelow(stream);
  return {
    kind: stream instanceof Socket ? 'tcp' : webSocket ? 'websocket' : 'stream',
    remoteAddress: stream instanceof Socket ? stream.remoteAddress : request?.socket.remoteAddress,
    write: (bytes) => stream.write(bytes),
    get isWriting() {
      return !stream.destroyed && stream.writableLength > 0;
    },
    cork: () => stream.cork(),
    uncork: () => stream.uncork(),
    pause: () => {
      webSocket?.pause();
      stream.pause();
    },
    resume: () => {
      stream.resume();
      webSocket?.resume();
    },
    end: () => {
      stream.end();
    },
    destroy: () => {
      stream.destroy();
      webSocket?.terminate();
    },
  };
}

function webSocketBelow(stream: Duplex): PausableSocket | undefined {
  if (stream instanceof Socket || !('socket' in stream)) return undefined;
  const { socket } = stream;
  return isPausable(socket) ? socket : undefined;
}

function isPausable(value: unknown): value is PausableSocket {
  return hasMethods(value, 'pause', 'resume', 'terminate');
}

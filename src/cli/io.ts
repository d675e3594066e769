import { EXIT, Failure } from './failure.js';

/** What the command line needs from the process, so that a test can stand in for it. */
export interface Output {
  write(data: string | Uint8Array, done?: (error?: Error | null) => void): boolean;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** A terminal tells when it has another size. */
  on?(event: 'resize', listener: () => void): unknown;
  off?(event: 'resize', listener: () => void): unknown;
}

export interface Keyboard {
  /** Gives each key as it is pressed, Ctrl-C (U+0003) too, which is no signal meanwhile. The function that comes back
   *  ends that; until then the terminal neither waits for lines nor echoes. */
  listen(press: (key: string) => void): () => void;
}

export interface Io {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Undefined where nobody sits before a terminal. */
  readonly keyboard: Keyboard | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted by SIGINT and SIGTERM. Its reason is the exit code, 130 or 143. */
  readonly interrupted: AbortSignal;
}

/** Writes and waits until the data is handed over, so that a slow reader slows us down.
 *  @throws Failure with exit code 1 when it cannot be; with 0, that says nothing, when its reader is gone */
export function write(output: Output, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(data, (error) => (error ? reject(unwritten(error)) : resolve()));
  });
}

export function isBrokenPipe(error: Error): boolean {
  return 'code' in error && error.code === 'EPIPE';
}

/** `super-node fetch | head` ends us once head has enough. */
function unwritten(error: Error): Failure {
  if (isBrokenPipe(error)) return new Failure(EXIT.ok, 'the reader of the output is gone', { silent: true });
  return new Failure(EXIT.refused, `cannot write: ${error.message}`);
}

/** Live messages that came faster than they could be written. */
export function tellMissed(messages: number, { stderr }: Io): Promise<void> {
  return writeLine(stderr, `super-node: ${messages} messages missed, as they came faster than they could be printed`);
}

export function writeLine(output: Output, line: string): Promise<void> {
  return write(output, `${line}\n`);
}

/** All of stdin, at most what one MQTT packet can carry [MQTT-2.2.3].
 *  @throws Failure with exit code 2 */
async function readAll(input: Io['stdin']): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    length += bytes.length;
    if (length > STDIN_BYTES_MAX) {
      throw new Failure(EXIT.usage, `stdin: expected at most ${STDIN_BYTES_MAX} bytes, got more`);
    }
  }
  return Buffer.concat(chunks);
}

/** The payload of an argument: its text, or for `-` all of stdin, byte for byte.
 *  @throws Failure with exit code 2 */
export async function readPayload(argument: string, { stdin }: Io): Promise<Buffer> {
  return argument === '-' ? readAll(stdin) : Buffer.from(argument);
}

const STDIN_BYTES_MAX = 268_435_455;

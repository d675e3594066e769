import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Document, isNode, LineCounter, parseDocument } from 'yaml';
import { DEFAULT_HOST } from '../core/address.js';
import { ConfigSchema, type ConfigWire, type ListenerWire } from '../core/config-schema.js';
import { describe, SuperNodeError } from '../core/errors.js';
import { type Fault, faultOf, formatPath, textFor, validate } from '../core/validate.js';
import { firstConfigFault } from './config-check.js';

/** A configuration that was checked: paths are absolute, listeners are given. */
export type LoadedConfig = ConfigWire & { readonly listeners: ListenerWire[] };

const FILE_BYTES_MAX = 1_048_576;
/** Nodes that aliases may stand for; bounds what a few lines can blow up to. */
const ALIASES_MAX = 100;
const DEPTH_MAX = 32;

/** What runs without a config file: MQTT and HTTP on loopback, no templates, no tasks. */
export function defaultConfig(): LoadedConfig {
  return {
    listeners: [
      { type: 'mqtt', host: DEFAULT_HOST, port: 1883 },
      { type: 'http', host: DEFAULT_HOST, port: 8080 },
    ],
  };
}

/** Reads a YAML config file of at most 1 MiB, fills in `${NAME}`, checks everything and makes paths absolute.
 *  Messages begin with `<file>:<line>:`.
 *  @throws SuperNodeError SN_ERR_CONFIG */
export function loadConfig(path: string, env: NodeJS.ProcessEnv = process.env): LoadedConfig {
  const source = new Source(path, readBounded(path));
  const value = fillIn(source.value() ?? {}, [], { source, env });
  const shape = faultOf(ConfigSchema, value);
  if (shape !== undefined) throw source.complaint(shape);
  const config = validate(ConfigSchema, value, 'SN_ERR_CONFIG', path);
  const meaning = firstConfigFault(config);
  if (meaning !== undefined) throw source.complaint(meaning);
  return withAbsolutePaths({ ...defaultConfig(), ...config }, dirname(resolve(path)));
}

/** The text of a file and where its values stand in it. */
class Source {
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
  }

  /** The plain value of the document.
   *  @throws SuperNodeError SN_ERR_CONFIG with line and column where it is no YAML */
  value(): unknown {
    const [problem] = [...this.#document.errors, ...this.#document.warnings];
    if (problem !== undefined) {
      const { line, col } = this.#lines.linePos(problem.pos[0]);
      throw this.#error(`:${line}:${col}`, `not valid YAML: ${problem.message}`);
    }
    try {
      return this.#document.toJS({ maxAliasCount: ALIASES_MAX });
    } catch (error) {
      throw this.#error('', `not valid YAML: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  complaint({ path, text, unknownKey }: Fault): SuperNodeError {
    const line = this.#lineOf(unknownKey === undefined ? path : [...path, unknownKey]);
    const place = formatPath(path);
    return this.#error(line === undefined ? '' : `:${line}`, place ? `${place}: ${text}` : text);
  }

  /** The line of a value, or of the nearest thing around it that exists. */
  #lineOf(path: readonly string[]): number | undefined {
    for (let depth = path.length; depth > 0; depth--) {
      const node = this.#document.getIn(path.slice(0, depth), true);
      if (isNode(node) && node.range) return this.#lines.linePos(node.range[0]).line;
    }
    return undefined;
  }

  #error(place: string, text: string): SuperNodeError {
    return new SuperNodeError('SN_ERR_CONFIG', `${this.#file}${place}: ${text}`);
  }
}

function readBounded(path: string): string {
  const unreadable = (why: string) => new SuperNodeError('SN_ERR_CONFIG', `${path}: expected a readable file, ${why}`);
  const buffer = Buffer.alloc(FILE_BYTES_MAX + 1);
  let length = 0;
  try {
    const file = openSync(path, 'r');
    try {
      for (let got = -1; got !== 0 && length < buffer.length; length += got) {
        got = readSync(file, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw unreadable(`got ${error instanceof Error && 'code' in error ? error.code : error}`);
  }
  if (length > FILE_BYTES_MAX) throw unreadable(`of at most ${FILE_BYTES_MAX} bytes, got more`);
  return buffer.toString('utf8', 0, length);
}

interface FillContext {
  readonly source: Source;
  readonly env: NodeJS.ProcessEnv;
}

/** The same value with each `${NAME}` in its texts filled in. */
function fillIn(value: unknown, path: readonly string[], context: FillContext): unknown {
  if (path.length > DEPTH_MAX) {
    throw context.source.complaint({ path, text: `expected at most ${DEPTH_MAX} levels, got more` });
  }
  if (typeof value === 'string') return fillText(value, path, context);
  if (Array.isArray(value)) return value.map((item, index) => fillIn(item, [...path, `${index}`], context));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillIn(item, [...path, key], context)]));
}

function fillText(text: string, path: readonly string[], { source, env }: FillContext): unknown {
  let filled = false;
  const result = text.replaceAll(/(\$?)\$\{([^}]*)(\}?)/g, (found, escaped: string, name: string, end: string) => {
    if (escaped) return found.slice(1);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || !end) {
      const expected = `expected the name of an environment variable in \${…} ($\${ writes a plain \${)`;
      throw source.complaint({ path, text: `${expected}, got ${describe(found)}` });
    }
    const value = env[name];
    if (value === undefined) {
      throw source.complaint({ path, text: `expected the environment variable ${name} to be set, got nothing` });
    }
    filled = true;
    return value;
  });
  return filled ? textFor(ConfigSchema, path, result) : result;
}

/** Paths that people wrote relative to the file they stand in. */
function withAbsolutePaths(config: LoadedConfig, folder: string): LoadedConfig {
  const inFolder = <T extends { cwd?: string; command?: string[] }>(fields: T): T => ({
    ...fields,
    ...(fields.cwd === undefined ? {} : { cwd: resolve(folder, fields.cwd) }),
    ...(fields.command === undefined ? {} : { command: withAbsoluteProgram(fields.command, folder) }),
  });
  return {
    ...config,
    ...(config.data_dir === undefined ? {} : { data_dir: resolve(folder, config.data_dir) }),
    ...(config.logs?.dir === undefined ? {} : { logs: { ...config.logs, dir: resolve(folder, config.logs.dir) } }),
    ...(config.tasks === undefined ? {} : { tasks: config.tasks.map(inFolder) }),
    ...(config.workers === undefined
      ? {}
      : {
          workers: Object.fromEntries(Object.entries(config.workers).map(([name, fields]) => [name, inFolder(fields)])),
        }),
  };
}

function withAbsoluteProgram(command: string[], folder: string): string[] {
  return command.map((argument, index) =>
    index === 0 && /^\.\.?\//.test(argument) ? resolve(folder, argument) : argument,
  );
}

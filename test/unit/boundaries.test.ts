import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));

/** What each room may import: other rooms, and packages or Node's own modules. */
const ROOMS: Record<string, { rooms: string[]; outside: RegExp }> = {
  core: { rooms: [], outside: /^@sinclair\/typebox/ },
  queues: { rooms: ['core'], outside: /^(@sinclair\/typebox(\/value)?|msgpackr)$/ },
  supervisor: { rooms: ['core'], outside: /^$/ },
  calls: { rooms: ['core'], outside: /^node:buffer$/ },
  router: { rooms: ['core'], outside: /^(node:buffer|@sinclair\/typebox)$/ },
  transport: { rooms: ['core', 'router'], outside: /^node:(buffer|events|http|net|stream)$/ },
  http: {
    rooms: ['core', 'router', 'transport'],
    outside:
      /^(node:(buffer|events|http|net|stream|zlib)|fastify|@fastify\/[a-z-]+|@sinclair\/typebox|negotiator|websocket-stream|ws|yaml)$/,
  },
  adapters: {
    rooms: ['core', 'transport'],
    outside: /^(node:|aedes$|aedes-persistence$|lmdb$|pidusage($|\/)|rotating-file-stream$|@sinclair\/typebox)/,
  },
  app: {
    rooms: ['core', 'queues', 'supervisor', 'calls', 'router', 'transport', 'http', 'adapters'],
    outside: /^(node:|aedes$|pino|prom-client$|yaml$)/,
  },
  cli: { rooms: ['core', 'app'], outside: /^(node:|commander$|mqtt$)/ },
  worker: { rooms: ['core'], outside: /^(node:|mqtt$)/ },
};

/** Only types may cross here: the shapes of a request belong to the router, and whoever carries one must speak them. */
const TYPES_ONLY = new Set(['transport→router']);

interface Import {
  readonly file: string;
  readonly from: string;
  readonly typeOnly: boolean;
}

function importsOf(path: string): Import[] {
  const text = readFileSync(path, 'utf8');
  const file = relative(SOURCE, path);
  const statement =
    /^(?:import|export)\s+(type\s+)?[^;'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gms;
  return [...text.matchAll(statement)].map(([, type, from, dynamic]) => ({
    file,
    from: from ?? dynamic ?? '',
    typeOnly: type !== undefined,
  }));
}

const FILES = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join(SOURCE, name));
const IMPORTS = FILES.flatMap(importsOf);

function complaintAbout({ file, from, typeOnly }: Import): string | undefined {
  const [room = ''] = file.split('/');
  const rules = ROOMS[room];
  if (!rules) return file.includes('/') ? `${file}: ${room} is no room` : undefined;
  if (!from.startsWith('.')) return rules.outside.test(from) ? undefined : `${file} imports ${from}`;
  const target = relative(SOURCE, resolve(dirname(join(SOURCE, file)), from)).split('/')[0] ?? '';
  if (target === room) return undefined;
  if (!rules.rooms.includes(target)) return `${file} imports ${target}`;
  if (TYPES_ONLY.has(`${room}→${target}`) && !typeOnly) return `${file} imports more than types of ${target}`;
  return undefined;
}

describe('the walls of the house', () => {
  test('every import is one its room may have', () => {
    expect(IMPORTS.map(complaintAbout).filter(Boolean)).toEqual([]);
  });

  test('the check looked: all rooms, their files and their imports', () => {
    const rooms = new Set(FILES.map((path) => relative(SOURCE, path).split('/')[0]));
    expect([...Object.keys(ROOMS)].filter((room) => !rooms.has(room))).toEqual([]);
    expect(FILES.length).toBeGreaterThan(60);
    expect(IMPORTS.length).toBeGreaterThan(200);
  });

  test.each([
    ['core', 'core/x.ts', 'node:fs', false],
    ['supervisor to queues', 'supervisor/x.ts', '../queues/queues.js', false],
    ['calls to the transport', 'calls/x.ts', '../transport/hub.js', true],
    ['transport to a value of the router', 'transport/x.ts', '../router/router.js', false],
    ['transport to aedes', 'transport/x.ts', 'aedes', true],
    ['an unknown room', 'stuff/x.ts', './y.js', false],
  ])('it would notice %s', (_title, file, from, typeOnly) => {
    expect(complaintAbout({ file, from, typeOnly })).toBeDefined();
  });

  test('Aedes is known in one place, apart from those who are handed a broker', () => {
    const users = IMPORTS.filter(({ from, typeOnly }) => from === 'aedes' && !typeOnly).map(({ file }) => file);
    expect(users).toEqual(['app/daemon.ts']);
  });

  test('no file is longer than 400 lines', () => {
    const long = FILES.filter((path) => readFileSync(path, 'utf8').split('\n').length > 401);
    expect(long.map((path) => relative(SOURCE, path))).toEqual([]);
  });
});

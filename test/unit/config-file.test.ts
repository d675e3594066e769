// biome-ignore-all lint/suspicious/noTemplateCurlyInString: what stands in a config file looks so

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../src/app/config-check.js';
import { defaultConfig, loadConfig } from '../../src/app/config-file.js';
import { SuperNodeError } from '../../src/core/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'sn-config-'));
const file = join(folder, 'edge.yaml');
const missing = join(folder, 'missing.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

function load(yaml: string, env: NodeJS.ProcessEnv = {}) {
  writeFileSync(file, yaml);
  return loadConfig(file, env);
}

/** The message without the folder, which is new in each run. */
function complaintAbout(yaml: string, env: NodeJS.ProcessEnv = {}): string {
  try {
    load(yaml, env);
  } catch (error) {
    if (!(error instanceof SuperNodeError)) throw error;
    expect(error.code).toBe('SN_ERR_CONFIG');
    return error.message.replace(`${folder}/`, '');
  }
  throw new Error('expected the config to be refused');
}

describe('a bad config is refused with file, line, place, what was expected and what came', () => {
  test.each([
    ['a list', '- a', 'edge.yaml: expected an object, got ["a"]'],
    ['an unknown key at the top', 'name: a\ntask: []', 'edge.yaml:2: unknown key "task", did you mean "tasks"?'],
    [
      'an unknown key in a queue',
      'tasks:\n  - task_id: cam1\n    queue:\n      lenght: 5',
      'edge.yaml:4: tasks[0].queue: unknown key "lenght", did you mean "length"?',
    ],
    [
      'an unknown key like no other',
      'net:\n  colour: red',
      'edge.yaml:2: net: unknown key "colour", expected one of auto',
    ],
    [
      'a required key that is misspelt',
      'tasks:\n  - { taskid: cam1 }',
      'edge.yaml:2: tasks[0]: unknown key "taskid", did you mean "task_id"?',
    ],
    [
      'a required key that is missing',
      'tasks:\n  - { worker: cam }',
      'edge.yaml:2: tasks[0].task_id: expected text like ^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$, got nothing',
    ],
    [
      'a template without a program',
      'workers:\n  cam:\n    command: ["", "x"]',
      'edge.yaml:3: workers.cam.command: expected a program first, got ""',
    ],
    [
      'a wrong type',
      'listeners:\n  - type: mqtt\n    port: "1883"',
      'edge.yaml:3: listeners[0].port: expected integer 0 to 65535, got "1883"',
    ],
    [
      'a word that is none of the allowed ones',
      'queue: { overflow: wait }',
      'edge.yaml:1: queue.overflow: expected one of "drop_oldest", "drop_newest", "block", got "wait"',
    ],
    [
      'queues on a disk without one',
      'queue: { storage: disk }',
      'edge.yaml:1: queue.storage: expected a data_dir for "disk", got none',
    ],
    [
      'a queue on a disk without one',
      'tasks: [{ task_id: a, queue: { storage: disk } }]',
      'edge.yaml:1: tasks[0].queue.storage: expected a data_dir for "disk", got none',
    ],
    [
      'a template with such a queue',
      'workers:\n  cam:\n    queue: { storage: disk }',
      'edge.yaml:3: workers.cam.queue.storage: expected a data_dir for "disk", got none',
    ],
    [
      'a truth value that is none',
      'tasks: [{ task_id: a, accept_tasks: maybe }]',
      'edge.yaml:1: tasks[0].accept_tasks: expected true or false or one of "yes", "no", got "maybe"',
    ],
    ['YAML that is none', 'name: [a\nnet: {}', 'edge.yaml:2:1: not valid YAML: '],
    ['a key that comes twice', 'name: a\nname: b', 'edge.yaml:2:1: not valid YAML: Map keys must be unique'],
    ['two documents', 'name: a\n---\nname: b', 'edge.yaml:2:1: not valid YAML: '],
    [
      'an environment variable that is not set',
      'name: a\ntasks:\n  - task_id: cam1\n    env: { TOKEN: "${CAM_TOKEN}" }',
      'edge.yaml:4: tasks[0].env.TOKEN: expected the environment variable CAM_TOKEN to be set, got nothing',
    ],
    [
      'a placeholder with a default',
      'name: "${NAME:-edge}"',
      'edge.yaml:1: name: expected the name of an environment variable in ${…} ($${ writes a plain ${), got "${NAME:-edge}"',
    ],
    [
      'two tasks with one id',
      'tasks:\n  - { task_id: a }\n  - { task_id: a }',
      'edge.yaml:3: tasks[1].task_id: expected an id of its own, got "a", which tasks[0] has already',
    ],
    [
      'a template that is not there',
      'workers: { camera: {} }\ntasks:\n  - { task_id: a, worker: camra }',
      'edge.yaml:3: tasks[0].worker: expected a template of the config (camera), got "camra"',
    ],
    [
      'a pinned field',
      'workers: { camera: { pin: [restart] } }\ntasks:\n  - { task_id: a, worker: camera, restart: never }',
      'edge.yaml:3: tasks[0].restart: expected the template "camera" to decide it (it pins this field), got it in the task',
    ],
    [
      'a filter that is none',
      'routes: [{ from: "a/#/b", task_id: t }]',
      'edge.yaml:1: routes[0].from: expected a topic filter such as "tele/+/SENSOR", got "a/#/b"',
    ],
    [
      'a route that takes everything',
      'routes: [{ from: "#", task_id: t }]',
      'edge.yaml:1: routes[0].from: expected a filter that matches nothing below m/, got "#"',
    ],
    [
      'a route over puts',
      'routes: [{ from: "w/ch/+", task_id: t }]',
      'edge.yaml:1: routes[0].from: expected a filter that matches nothing below w/, got "w/ch/+"',
    ],
    [
      'a route over the topics below the prefix',
      'topics: { prefix: site7/ }\nroutes: [{ from: "site7/+/data/#", task_id: t }]',
      'edge.yaml:2: routes[0].from: expected a filter that matches nothing below site7/m/, got "site7/+/data/#"',
    ],
    [
      'a route over $SYS',
      'routes: [{ from: "$SYS/#", task_id: t }]',
      'edge.yaml:1: routes[0].from: expected a filter that does not begin with $, got "$SYS/#"',
    ],
    [
      'a placeholder beyond the wildcards',
      'routes: [{ from: "tele/+/SENSOR", task_id: "t-{2}" }]',
      'edge.yaml:1: routes[0].task_id: expected {1} to {1}, got {2} in "t-{2}"',
    ],
    [
      'a placeholder without a wildcard',
      'routes: [{ from: "tele/a", task_id: "t-{1}" }]',
      'edge.yaml:1: routes[0].task_id: expected no placeholder, as `from` has no wildcard, got {1} in "t-{1}"',
    ],
    [
      'two listeners on one address',
      'listeners:\n  - { type: mqtt, port: 1883 }\n  - { type: http, host: localhost, port: 1883 }',
      'edge.yaml:3: listeners[1]: expected an address of its own, got localhost port 1883, which listeners[0] has already',
    ],
    [
      'a listener that strangers could reach',
      'listeners:\n  - type: mqtt\n    port: 1883\n    host: 0.0.0.0',
      'edge.yaml:4: listeners[0].host: expected a loopback address (127.0.0.1, ::1, localhost), got "0.0.0.0": whoever connects may start programs, so without users the node listens on loopback only; users come with a later version',
    ],
  ])('%s', (_name, yaml, message) => {
    const complaint = complaintAbout(yaml);
    expect(message.endsWith(': ') ? complaint.slice(0, message.length) : complaint).toBe(message);
  });

  test.each(['127.0.0.1.example.com', '127.1', '10.127.0.0.1', '::', '::ffff:127.0.0.1', 'localhost.lan', ''])(
    'the host %j is not loopback',
    (host) => {
      expect(() => checkConfig({ listeners: [{ type: 'mqtt', host, port: 0 }] })).toThrow(
        /expected a loopback address/,
      );
    },
  );

  test('a file that is not there, a folder, and one over 1 MiB', () => {
    expect(() => loadConfig(missing)).toThrow(`${missing}: expected a readable file, got ENOENT`);
    expect(() => loadConfig(folder)).toThrow(`${folder}: expected a readable file, got EISDIR`);
    expect(complaintAbout('#'.repeat(1_048_577))).toMatch(/expected a readable file, of at most 1048576 bytes/);
  });

  test('aliases that grow to more than a file could hold', () => {
    const levels = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
    for (const [above, level] of [...'abcdef'].entries()) {
      const next = 'bcdefg'[above];
      levels.push(`${next}: &${next} [${Array.from({ length: 10 }, () => `*${level}`).join(', ')}]`);
    }
    expect(complaintAbout(levels.join('\n'))).toMatch(/^edge.yaml: not valid YAML: Excessive alias count/);
  });

  test('a structure that is deeper than any config, and one that contains itself', () => {
    expect(complaintAbout(`name: ${'['.repeat(50)}${']'.repeat(50)}`)).toMatch(/expected at most 32 levels, got more/);
    expect(complaintAbout('name: &a { b: *a }')).toMatch(/^edge.yaml/);
  });
});

describe('a good config', () => {
  test('may be empty: the default listeners on loopback', () => {
    expect(load('# nothing yet\n')).toEqual(defaultConfig());
    expect(defaultConfig().listeners.map(({ host, port }) => `${host}:${port}`)).toEqual([
      '127.0.0.1:1883',
      '127.0.0.1:8080',
    ]);
  });

  test('keeps its own listeners; any port may be 0 more than once', () => {
    const { listeners } = load('listeners: [{ type: mqtt, port: 0 }, { type: http, port: 0, host: "::1" }]');
    expect(listeners).toHaveLength(2);
  });

  test('environment variables fill in text, numbers and truth values, as the option wants them', () => {
    const env = { NAME: 'edge-7', PORT: '2883', AUTO: 'false', PIN: '0123', YES: 'yes' };
    const config = load(
      'name: ${NAME}\nnet: { auto: "${AUTO}" }\nlisteners: [{ type: mqtt, port: "${PORT}" }]\n' +
        'tasks: [{ task_id: "t-${NAME}", accept_tasks: "${YES}", env: { PIN: "${PIN}" }, start_params: "$${NAME} ${NAME}" }]',
      env,
    );
    expect(config).toMatchObject({
      name: 'edge-7',
      net: { auto: false },
      listeners: [{ port: 2883 }],
      tasks: [{ task_id: 't-edge-7', accept_tasks: 'yes', env: { PIN: '0123' }, start_params: '${NAME} edge-7' }],
    });
  });

  test('a number of the environment that is none is refused as the text it is', () => {
    expect(complaintAbout('listeners: [{ type: mqtt, port: "${PORT}" }]', { PORT: '18 83' })).toBe(
      'edge.yaml:1: listeners[0].port: expected integer 0 to 65535, got "18 83"',
    );
  });

  test('relative paths start at the file: data_dir, cwd, and a program that begins with a dot', () => {
    const config = load(
      'data_dir: data\nworkers: { a: { command: [./run.sh, ./x], cwd: . } }\n' +
        'tasks: [{ task_id: t, command: [../bin/run], cwd: /tmp }, { task_id: u, command: [node, ./x.js] }]',
    );
    expect(config.data_dir).toBe(join(folder, 'data'));
    expect(config.workers?.a).toEqual({ command: [join(folder, 'run.sh'), './x'], cwd: folder });
    expect(config.tasks).toEqual([
      { task_id: 't', command: [join(folder, '../bin/run')], cwd: '/tmp' },
      { task_id: 'u', command: ['node', './x.js'] },
    ]);
  });

  test.each(['tele/+/SENSOR', 'ma/#', 'm', 'w2/+', 'site7/m/data/+'])('may route %s', (from) => {
    expect(() => checkConfig({ routes: [{ from, task_id: 't' }] })).not.toThrow();
  });

  test('the example of the quick start', () => {
    expect(() => loadConfig(new URL('../../examples/quickstart.yaml', import.meta.url).pathname)).not.toThrow();
  });
});

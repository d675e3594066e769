import { expect, test } from 'vitest';
import { settingsOf } from '../../src/worker/settings.js';

test.each([
  [{}, 'url (or SN_URL): expected a URL such as mqtt://127.0.0.1:1883, got nothing'],
  [{ SN_URL: 'mqtt://h' }, 'task_id: expected text like ^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$, got nothing'],
  [
    { SN_URL: 'mqtt://h', SN_TASK_ID: 'a', SN_KEEPALIVE: 'x' },
    'keepaliveS (or SN_KEEPALIVE): expected seconds from 1 to 65535, got null',
  ],
  [{ SN_URL: 'mqtt://h', SN_TASK_ID: 'a', SN_INSTANCE: '0' }, 'SN_INSTANCE: expected an integer from 1, got "0"'],
])('settings %j are refused', (env, message) => {
  expect(() => settingsOf({}, env)).toThrow(message);
});

test('a node on this machine is tried each 100 ms, any other each second', () => {
  const reconnectMs = (url: string) => settingsOf({ url, taskId: 'a' }, {}).reconnectMs;
  expect(['mqtt://127.0.0.1', 'ws://[::1]:8080', 'mqtt://localhost'].map(reconnectMs)).toEqual([100, 100, 100]);
  expect(reconnectMs('mqtt://10.0.0.1')).toBe(1_000);
});

test('the token and the instance of the environment are for the task of the environment alone', () => {
  const env = { SN_URL: 'mqtt://h', SN_TASK_ID: 'a', SN_TOKEN: 'snw_a', SN_INSTANCE: '3' };
  expect(settingsOf({}, env)).toMatchObject({ token: 'snw_a', instance: 3 });
  expect(settingsOf({ taskId: 'b' }, env)).toMatchObject({ token: undefined, instance: 1 });
});

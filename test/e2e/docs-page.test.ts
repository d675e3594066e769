import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestNode, type TestNode } from '../fixtures/nodes.js';
import { requireOrSkip } from '../fixtures/system.js';

/** What a page did that it should not: errors and warnings on the console, requests to somebody else. */
interface Trouble {
  readonly console: string[];
  readonly elsewhere: string[];
}

// A browser takes its time on a busy machine.
describe.skipIf(requireOrSkip('chromium'))('the page at /docs, in a browser', { timeout: 60_000 }, () => {
  let node: TestNode;
  let browser: Browser;
  let page: Page;
  let origin: string;
  let trouble: Trouble;

  beforeAll(async () => {
    node = await startTestNode('daemon', { tasks: [{ task_id: 'cam1' }] });
    origin = node.httpUrl;
    // As root Chromium runs without its sandbox only. The page is ours.
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    await node?.close();
  });

  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 1_200, height: 1_400 } });
    trouble = { console: [], elsewhere: [] };
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') trouble.console.push(message.text());
    });
    page.on('pageerror', (error) => trouble.console.push(error.message));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin !== origin && url.protocol !== 'data:') trouble.elsewhere.push(request.url());
    });
  });
  afterEach(() => page.close());

  async function open(path = '/docs'): Promise<void> {
    await page.goto(origin + path);
    await page.waitForSelector('.opblock');
  }

  test.each(['/docs', '/docs/'])(
    '%s shows every operation, asks nobody else, and the console stays empty',
    async (path) => {
      await open(path);
      const shown = await page
        .locator('.opblock')
        .evaluateAll((blocks) => blocks.map(({ id }) => id.split('-').at(-1)));
      const { paths } = JSON.parse(await (await fetch(`${origin}/docs/openapi.json`)).text());
      const wanted = Object.values<object>(paths).flatMap((methods) => Object.values(methods));
      expect(shown.toSorted()).toEqual(wanted.map(({ operationId }) => operationId).toSorted());
      expect(shown.length).toBeGreaterThan(15);
      expect(trouble).toEqual({ console: [], elsewhere: [] });
    },
  );

  test('an operation is tried out, and its answer shown', async () => {
    await open();
    const operation = page.locator('#operations-Status-taskStatus');
    await operation.locator('.opblock-summary-control').click();
    await operation.getByRole('button', { name: 'Try it out' }).click();
    await operation.locator('input[placeholder="task"]').fill('cam1');
    const [response] = await Promise.all([
      page.waitForResponse((answer) => answer.url() === `${origin}/m/stat/cam1`),
      operation.getByRole('button', { name: 'Execute' }).click(),
    ]);
    expect(response.status()).toBe(200);
    await operation.locator('.live-responses-table .microlight', { hasText: '"state": "pending"' }).first().waitFor();
    expect(trouble).toEqual({ console: [], elsewhere: [] });
  });

  test('shapes and bodies unfold, and nothing of it needs more than the policy allows', async () => {
    await open();
    for (const id of ['#operations-Commands-command', '#operations-Entries-fetch']) {
      await page.locator(`${id} .opblock-summary-control`).click();
      await page.locator(`${id} .opblock-body .responses-inner`).waitFor();
    }
    await page.locator('.models-control').click();
    await page.locator('.models .json-schema-2020-12').first().waitFor();
    expect(trouble).toEqual({ console: [], elsewhere: [] });
  });

  test('the link to the AsyncAPI document leads there', async () => {
    await open();
    const href = await page.getByRole('link', { name: 'the AsyncAPI document' }).getAttribute('href');
    const answer = await page.request.get(new URL(href ?? 'nowhere', `${origin}/docs`).href);
    expect(await answer.text()).toMatch(/^asyncapi: 3/);
  });

  test('the watch sees a script that was slipped in, and a request to another host', async () => {
    await open();
    await page.evaluate(`document.body.append(Object.assign(document.createElement('script'), { text: 'alert(1)' }))`);
    await page.evaluate(`fetch('http://elsewhere.invalid/x').catch(() => undefined)`);
    const named = (directive: string) => trouble.console.some((line) => line.includes(directive));
    await expect.poll(() => [named('script-src'), named('connect-src')]).toEqual([true, true]);
  });
});

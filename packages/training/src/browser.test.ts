// Training runs in a page: the main entry bundles for browsers without Node's modules, and trains in Debian's chromium as in Node.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build, type BuildResult } from 'esbuild';
import { chromium } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { trainTiny } from './testing/browser-entry';

const CHROMIUM = '/usr/bin/chromium';
const available = existsSync(CHROMIUM);
const ORIGIN = 'http://localhost';
const PAGE = '<!doctype html><link rel="icon" href="data:,"><script type="module">import * as entry from "/entry.js"; window.entry = entry</script>';

const training = fileURLToPath(new URL('..', import.meta.url));
const models = join(training, '../models');
const wasmFolder = join(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist');

let bundle: BuildResult<{ write: false; metafile: true }>;
beforeAll(async () => {
  bundle = await build({
    absWorkingDir: training,
    entryPoints: ['src/testing/browser-entry.ts'],
    // As the README of @mixsga/models has it.
    alias: { '@huggingface/hub': join(models, 'node_modules/@huggingface/hub/dist/browser/index.mjs') },
    external: ['node:*'],
    conditions: ['mixsga-source', 'module'],
    bundle: true,
    format: 'esm',
    metafile: true,
    write: false,
  });
}, 60_000);

it('the main entry needs nothing of Node to load, and its own files nothing of Node at all', () => {
  const imports = Object.entries(bundle.metafile.inputs).flatMap(([file, { imports }]) => imports.map(({ path, kind }) => ({ file, path, kind })));
  const ofNode = imports.filter(({ path }) => path.startsWith('node:'));
  expect(ofNode.filter(({ kind }) => kind !== 'dynamic-import')).toEqual([]);
  expect(ofNode.filter(({ file }) => file.startsWith('src/'))).toEqual([]);
  expect(imports.filter(({ file }) => file.startsWith('src/')).length).toBeGreaterThan(50);
});

describe.skipIf(!available)(`in a page${available ? '' : ` (there is no ${CHROMIUM})`}`, () => {
  it('trains as in Node', async () => {
    const complaints: string[] = [];
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    try {
      const page = await browser.newPage();
      page.on('pageerror', (error) => void complaints.push(String(error)));
      page.on('console', (message) => void (['error', 'warning'].includes(message.type()) && complaints.push(message.text())));
      await page.route(`${ORIGIN}/**`, async (route) => {
        const { pathname } = new URL(route.request().url());
        if (pathname === '/') return route.fulfill({ contentType: 'text/html', body: PAGE });
        if (pathname === '/entry.js') return route.fulfill({ contentType: 'text/javascript', body: Buffer.from(bundle.outputFiles[0]!.contents) });
        return route.fulfill({ contentType: 'application/wasm', body: await readFile(join(wasmFolder, pathname)) });
      });
      await page.goto(`${ORIGIN}/`);
      await page.waitForFunction('window.entry', null, { polling: 100 });
      const trained = await page.evaluate((paths) => (window as unknown as { entry: { trainTiny: typeof trainTiny } }).entry.trainTiny(paths), `${ORIGIN}/`);
      const { losses, perplexity, agreement } = await trainTiny();
      expect(trained.losses).toEqual(losses.map((loss) => expect.closeTo(loss, 5) as number));
      expect(trained.perplexity).toEqual({ decode: expect.closeTo(perplexity.decode, 3) as number, prefill: expect.closeTo(perplexity.prefill, 3) as number });
      expect(trained.agreement).toBeCloseTo(agreement!, 5);
      expect(losses).toHaveLength(3);
      expect(losses[2]).toBeLessThan(losses[0]!);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  }, 120_000);
});

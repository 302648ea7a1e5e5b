// Models load and generate in a browser: a bundle made as README.md says, in Debian's chromium.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { continueGreedily, type GreedyRequest } from './testing/browser-entry';

const CHROMIUM = '/usr/bin/chromium';
const available = existsSync(CHROMIUM);
const PAGE = `<!doctype html><link rel="icon" href="data:,">
<script type="module">import * as entry from "/entry.js"; window.entry = entry</script>`;

/** The same page as browsers isolate it from other origins: pages have shared memory then. */
const ISOLATED = '/isolated';
const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

const models = fileURLToPath(new URL('..', import.meta.url));
const wasmFolder = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json')) + '/dist';
const fixture = (name: string) => `${models}/src/fixtures/parity/${name}`;

/** The fixtures have no tokenizer; one of their vocabulary. */
const tokenizer = {
  version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Whitespace' },
  post_processor: null, decoder: null,
  model: { type: 'WordLevel', vocab: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`w${i}`, i])), unk_token: 'w0' },
};

/** What the server has at a path; null when nothing. */
async function contentOf(path: string, bundle: Uint8Array): Promise<{ type: string; body: Uint8Array } | null> {
  const [, folder, name] = /^\/([\w-]*)\/?([\w.-]*)$/.exec(path) ?? [];
  if (path === '/' || path === ISOLATED) return { type: 'text/html', body: Buffer.from(PAGE) };
  if (path === '/entry.js') return { type: 'text/javascript', body: bundle };
  if (name === 'tokenizer.json') return { type: 'application/json', body: Buffer.from(JSON.stringify(tokenizer)) };
  const isWasm = folder === 'wasm';
  const body = name ? await readFile(`${isWasm ? wasmFolder : fixture(folder!)}/${name}`).catch(() => null) : null;
  return body && { type: isWasm ? 'application/wasm' : 'application/octet-stream', body };
}

async function answer(request: IncomingMessage, response: ServerResponse, bundle: Uint8Array): Promise<void> {
  const content = await contentOf(request.url!, bundle);
  if (content === null) return void response.writeHead(404).end();
  const { type, body } = content;
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (!range) return void response.writeHead(200, { 'content-type': type, ...(request.url === ISOLATED && isolation) }).end(body);
  const [begin, end] = [Number(range[1]), Math.min(Number(range[2]) + 1, body.length)];
  response.writeHead(206, { 'content-type': type, 'content-range': `bytes ${begin}-${end - 1}/${body.length}` });
  response.end(body.subarray(begin, end));
}

/** The entry for browsers, by the options that README.md gives for esbuild. */
async function bundleEntry(): Promise<Uint8Array> {
  const { outputFiles } = await build({
    absWorkingDir: models,
    entryPoints: ['src/testing/browser-entry.ts'],
    alias: { '@huggingface/hub': './node_modules/@huggingface/hub/dist/browser/index.mjs' },
    external: ['node:*'],
    // Siblings from their sources, as in all tests; "module" is what esbuild takes by itself.
    conditions: ['mixsga-source', 'module'],
    bundle: true,
    format: 'esm',
    write: false,
  });
  return outputFiles[0]!.contents;
}

describe.skipIf(!available)(`in a browser${available ? '' : ` (there is no ${CHROMIUM})`}`, () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  let address: string;
  /** Uncaught errors, and errors and warnings of the console. */
  const complaints: string[] = [];
  const requests: string[] = [];

  beforeAll(async () => {
    const bundle = await bundleEntry();
    server = createServer((request, response) => void answer(request, response, bundle));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    page = await browser.newPage();
    page.on('request', (request) => void requests.push(request.url()));
    page.on('pageerror', (error) => void complaints.push(String(error)));
    page.on('console', (message) => void (['error', 'warning'].includes(message.type()) && complaints.push(message.text())));
    await open('/');
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  async function open(path: string): Promise<void> {
    await page.goto(address + path);
    await page.waitForFunction('window.entry', null, { polling: 100 }).catch((error: unknown) => {
      throw new Error(`the bundle does not load: ${complaints.join('; ')}`, { cause: error });
    });
  }

  /** The entry's answer in the page, which finds the `.wasm` files of TensorFlow.js at the server. */
  const inPage = (request: GreedyRequest) =>
    page.evaluate((given) => (window as unknown as { entry: { continueGreedily: typeof continueGreedily } }).entry.continueGreedily(given), {
      ...request,
      wasmPaths: `${address}/wasm/`,
    });

  /** The reference's continuation of a fixture, and the request for it. */
  async function requestOf(name: string, attention?: string) {
    const golden = JSON.parse(await readFile(`${fixture(name)}/golden.json`, 'utf8')) as { prompt: number[]; greedy: number[] };
    const names = (await readdir(fixture(name))).filter((file) => !/^(golden|routers)\./.test(file));
    const files = [...names, 'tokenizer.json'].map((file) => `${address}/${name}/${file}`);
    return { golden, request: { files, prompt: golden.prompt, maxNewTokens: golden.greedy.length, attention } };
  }

  it.each(['opt', 'llama', 'gemma2'])('%s continues a prompt as transformers does', async (name) => {
    const { golden, request } = await requestOf(name);
    expect((await inPage(request)).tokens).toEqual(golden.greedy);
  });

  it('routes to experts as in Node, by the same kernels', async () => {
    const { golden, request } = await requestOf('llama', 'mixsga:3:1:6');
    const inNode = await continueGreedily(request);
    expect(await inPage(request)).toEqual(inNode);
    expect(inNode.tokens).not.toEqual(golden.greedy);
  });

  it('is as fast and has the same tokens in a page that is isolated from other origins', async () => {
    const { request } = await requestOf('llama', 'mixsga:3:1:6');
    const inNode = await continueGreedily(request);
    await open(ISOLATED);
    expect(await page.evaluate('crossOriginIsolated && typeof SharedArrayBuffer')).toBe('function');
    expect(await inPage(request)).toEqual({ ...inNode, path: 'fused' });
    expect(inNode.backend).toMatch(/^wasm: WebAssembly, (relaxed-)?simd$/);
  });

  it('asks no other server for anything, and has nothing to complain of', () => {
    expect(requests.filter((url) => !url.startsWith(`${address}/`))).toEqual([]);
    expect(requests).toContain(`${address}/entry.js`);
    expect(complaints).toEqual([]);
  });
});

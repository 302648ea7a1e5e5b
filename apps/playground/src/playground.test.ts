// The built page in Debian's chromium, as a plain file server gives it.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { fromPretrained, generateText, parseAttention } from '@mixsga/models';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BuiltPage, CHROMIUM, hasChromium, RETRY } from './testing/built-page';
import { FakeHub } from './testing/fake-hub';
import { expectKept, growth } from './testing/growth';
import { addressHas, drop, ended, exported, generate, meter, textOf, tokens, violations } from './testing/page';
import { StaticServer } from './testing/static-server';

const zoo = fileURLToPath(new URL('../../../packages/models/zoo/sotu-mini', import.meta.url));
const fixture = fileURLToPath(new URL('../../../packages/models/src/fixtures/parity/llama', import.meta.url));

const PROMPT = 'The state of the Union is';
const GREEDY = 'temperature=0&top_p=1&pace=0&max=60';

describe.skipIf(!hasChromium)(`the page in a browser${hasChromium ? '' : ` (there is no ${CHROMIUM})`}`, RETRY, () => {
  let built: BuiltPage;
  let complaints: string[];
  beforeAll(async () => {
    built = await BuiltPage.start();
    complaints = built.complaints;
  }, 120_000);
  beforeEach(() => void (built.complaints.length = 0)); // of a try before
  afterAll(() => built?.stop());
  const open: BuiltPage['open'] = (...given) => built.open(...given);
  const closing: BuiltPage['closing'] = (page) => built.closing(page);

  /** The greedy text in Node. */
  async function inNode(attention: string): Promise<string> {
    const { decoder, tokenizer, stopTokens } = await fromPretrained('sotu-mini', { backend: 'wasm', attention });
    const { text } = await generateText(decoder, tokenizer, PROMPT, { maxNewTokens: 60, stopTokens });
    decoder.dispose();
    return text;
  }

  it('weighs little: scripts that a visit on wasm loads, and all', async () => {
    const files = (await readdir(join(built.folder, 'assets'))).filter((name) => name.endsWith('.js'));
    const bytes = Object.fromEntries(await Promise.all(files.map(async (name) => [name, gzipSync(await readFile(join(built.folder, 'assets', name))).length] as const)));
    const page = await open(GREEDY);
    const loaded = new Set<string>();
    page.on('request', (request) => void loaded.add(request.url().split('/').at(-1)!));
    await page.reload();
    await ended(page);
    const sum = (names: Iterable<string>) => [...names].reduce((total, name) => total + (bytes[name] ?? 0), 0);
    report(`scripts, gzip: ${sum(loaded)} bytes in a visit on wasm, ${sum(files)} in all`);
    expect(sum(loaded)).toBeGreaterThan(100_000);
    expect(sum(files)).toBeLessThan(600_000);
    await closing(page);
  });

  it.each([['mha', 'wasm'], ['mixsga:3:1:6', 'wasm'], ['mixsga:3:1:6', 'webgpu']])('continues a prompt greedily as Node does, with %s on %s', async (attention, backend) => {
    const page = await open(`${GREEDY}&attention=${attention}&backend=${backend}`);
    await ended(page);
    expect(await textOf(page)).toBe(await inNode(attention));
    expect(await page.locator('.facts').innerText()).toContain(backend);
    await closing(page);
  }, 300_000);

  it('runs the same where the page is cross-origin isolated', async () => {
    const isolating = new StaticServer(built.folder, '/', { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' });
    try {
      const page = await open(GREEDY, {}, await isolating.start());
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      await ended(page);
      expect(await textOf(page)).toBe(await inNode('mixsga:3:1:6'));
      expect(await page.locator('.facts').innerText()).toContain('WebAssembly, relaxed-simd');
      await closing(page);
    } finally {
      await isolating.stop();
    }
  });

  it('goes on with the same text on another backend', async () => {
    const page = await open(`${GREEDY}&pace=30`.replace('pace=0&', ''));
    await page.locator('.text .token').nth(25).waitFor();
    await page.getByLabel('Backend').selectOption('cpu');
    await ended(page);
    expect(await textOf(page)).toBe(await inNode('mixsga:3:1:6'));
    expect(await page.locator('article .notice').innerText()).toMatch(/^From token \d+ on cpu\.$/);
    expect(await page.locator('.facts').innerText()).toContain('cpu');
    await closing(page);
  });

  it('goes on after a device was lost', async () => {
    const page = await open(`${GREEDY}&pace=20&max=40&backend=wasm`.replace('pace=0&max=60&', ''));
    await ended(page);
    const [worker] = page.workers();
    // Nothing outside of the worker can reach its device: it is noted as it is made.
    await worker!.evaluate(() => {
      const scope = self as unknown as { devices: GPUDevice[] };
      scope.devices = [];
      const { requestDevice } = GPUAdapter.prototype;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await requestDevice.call(this, descriptor);
        scope.devices.push(device);
        return device;
      };
    });
    const expected = await textOf(page);
    await page.getByLabel('Backend').selectOption('webgpu');
    await generate(page);
    await page.locator('.text .token').nth(20).waitFor({ timeout: 60_000 });
    await worker!.evaluate(() => (self as unknown as { devices: GPUDevice[] }).devices.at(-1)!.destroy());
    await ended(page);
    expect(await page.locator('article .notice').innerText()).toMatch(/^The device was lost after \d+ tokens; the text goes on, on webgpu\.$/);
    expect(await textOf(page)).toBe(expected);
    await page.context().close();
    // The browser says so too.
    expect(complaints.splice(0).filter((text) => !/lost|destroyed/i.test(text))).toEqual([]);
  }, 300_000);

  it('compares two variants side by side', async () => {
    const page = await open(`${GREEDY}&attention2=mha`);
    await ended(page, 2);
    expect(await textOf(page, 0)).toBe(await inNode('mixsga:3:1:6'));
    expect(await textOf(page, 1)).toBe(await inNode('mha'));
    expect(await page.locator('.comparison').innerText()).toMatch(/The texts part (at the first token|after \d+ tokens)\. Of the right one \d+ of 60 tokens/);
    expect(await page.locator('article').nth(1).locator('.token.differs').count()).toBeGreaterThan(0);
    await page.getByRole('button', { name: 'Stop comparing' }).click();
    await generate(page);
    await ended(page, 1);
    await closing(page);
  });

  it('tells what a run takes before and while it runs, as the cache reports it', async () => {
    const page = await open(`${GREEDY}&pace=40`.replace('pace=0&', ''));
    await page.locator('.text .token').nth(30).waitFor();
    const early = await meter(page);
    await ended(page);
    const late = await meter(page);
    const seen = 8 + 60 - 1;
    expect(early.own).toBeLessThan(late.own);
    expect(late.mha).toBe(4096 * seen);
    expect(late.gqa).toBe(2048 * seen);
    const run = (await exported(page)).runs[0]!;
    expect(late.own).toBe(run.cache.bytesUsed);
    const { experts } = parseAttention('mixsga:3:1:6');
    const stored = run.cache.expertCounts.reduce((sum, count, expert) => sum + (count * 1024) / experts!.sizes[expert]!, 0);
    expect(run.cache.bytesUsed).toBeCloseTo(stored + (4 * seen * 2) / 8, -1);
    expect(await page.locator('.forecast').innerText()).toContain('8 prompt tokens and up to 60 new ones');
    await page.locator('#variant-0-ratio-0').fill('10');
    await page.locator('.forecast li', { hasText: 'mixsga:10:1:6' }).waitFor();
    await addressHas(page, 'attention=mixsga%3A10%3A1%3A6');
    await closing(page);
  });

  it('shows experts and scores of a token to the keyboard, and the map as a table', async () => {
    const page = await open(GREEDY);
    await ended(page);
    const run = (await exported(page)).runs[0]!;
    expect(run.tokens).toHaveLength(68);
    expect(run.tokens.at(-1)!.experts).toBeUndefined();
    for (const { experts, scores } of run.tokens.slice(8, -1)) {
      // Decode takes the best score.
      expect(experts).toEqual(scores!.map((each) => each.indexOf(Math.max(...each))));
    }
    await page.getByRole('listbox').focus();
    for (let i = 0; i < 10; i++) await page.keyboard.press('ArrowRight');
    const detail = page.locator('.detail');
    expect(await detail.locator('p').innerText()).toContain('token 11, generated');
    const kept = ['all 8 heads', '4 of 8 heads', '2 of 8 heads'];
    expect(await detail.locator('tbody td:nth-child(2)').allInnerTexts()).toEqual(run.tokens[10]!.experts!.map((expert) => kept[expert]));
    expect((await detail.locator('tbody tr').first().innerText()).match(/\d\.\d\d/g)).toEqual(run.tokens[10]!.scores![0]!.map((score) => score.toFixed(2)));
    await page.getByRole('application').focus();
    await page.keyboard.press('ArrowDown');
    expect(await page.locator('#run-0-map-place').innerText()).toContain('Layer 2, token 11');
    await page.getByText('The same as a table').click();
    const counts = run.cache.expertCounts.map(() => 0);
    for (const { experts } of run.tokens) if (experts) counts[experts[0]!]!++;
    await page.locator('.map-table tbody').waitFor();
    const cells = await page.locator('.map-table tbody tr').first().locator('td').allInnerTexts();
    expect(cells.slice(0, 3).map((text) => parseInt(text))).toEqual(counts);
    await closing(page);
  });

  it('runs a model of dropped files, and says what is wrong with others', async () => {
    const page = await open(GREEDY);
    await ended(page);
    const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
    await drop(page, zoo, names);
    await page.locator('.model [role=status]', { hasText: 'your files' }).waitFor();
    await generate(page);
    await ended(page);
    expect(await textOf(page)).toBe(await inNode('mixsga:3:1:6'));
    await addressHas(page, 'model=files');

    await page.getByLabel('Files of a model').setInputFiles(join(zoo, 'config.json'));
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').innerText()).toMatch(/^the files given: expected weights in one of model\.safetensors.*The previous model is still loaded\.$/);
    await generate(page);
    await ended(page);
    expect(await textOf(page)).toBe(await inNode('mixsga:3:1:6'));

    await page.getByLabel('Files of a model').setInputFiles([join(fixture, 'config.json'), join(zoo, 'tokenizer.json'), join(zoo, 'model.safetensors')]);
    await page.locator('.model [role=status]', { hasText: 'llama' }).waitFor();
    await generate(page);
    await page.locator('article[data-status=failed]').waitFor();
    expect(await page.getByRole('alert').innerText()).toMatch(/^model\.safetensors: expected a tensor .*, and there is none$/);
    await page.getByRole('button', { name: 'Use the shipped sotu-mini' }).click();
    await page.locator('.model [role=status]', { hasText: 'sotu-mini' }).waitFor();
    await closing(page);
  });

  it('stops, and takes its settings from the address', async () => {
    const page = await open('pace=20&prompt=My+fellow&seed=7&attention=gqa%3A2&max=100');
    await page.locator('.text .token').nth(12).waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await ended(page);
    expect(await page.locator('.status').innerText()).toBe('stopped');
    const count = await tokens(page);
    expect(count).toBeLessThan(60);
    await page.reload();
    expect(await page.getByLabel('Prompt').inputValue()).toBe('My fellow');
    expect(await page.getByLabel('Seed').inputValue()).toBe('7');
    await page.getByLabel('Pace, tokens/s').fill('0');
    await page.getByLabel('Prompt').fill('Congress');
    await addressHas(page, 'prompt=Congress');
    await page.locator('.text .token').nth(3).waitFor();
    await closing(page);
  });

  it('evicts, marks what is gone, and refuses what does not fit', async () => {
    const page = await open(`${GREEDY}&eviction=window%3A0.5`);
    await ended(page);
    const run = (await exported(page)).runs[0]!;
    expect(run.cache).toMatchObject({ tokensSeen: 67, tokensKept: 34 });
    expect(await page.locator('.text .token.evicted').count()).toBe(33);
    await page.locator('#variant-0-kind').selectOption('gqa');
    await page.locator('#variant-0-count').fill('3');
    await page.locator('fieldset [role=alert]').waitFor();
    expect(await page.locator('fieldset [role=alert]').innerText()).toMatch(/3.*8 KV heads|8 KV heads.*3/);
    await closing(page);

    const wrong = await open(`${GREEDY}&attention=mixsga&backend=wasm&prompt=${'war+'.repeat(300)}`);
    await ended(wrong);
    expect(await wrong.locator('.notice').innerText()).toMatch(/^attention: expected .*got "mixsga"$/);
    await wrong.locator('#variant-0-kind').selectOption('mha');
    await generate(wrong);
    await ended(wrong);
    expect(await wrong.locator('.notice').innerText()).toMatch(/^prompt: expected fewer than the 256 tokens of the model's context, got \d+; shorten it$/);
    await closing(wrong);
  });

  it('holds a KV budget without losing a token, and says when one is too small', async () => {
    const page = await open(`${GREEDY}&attention=mha&kv_budget=0.5`);
    await ended(page);
    const run = (await exported(page)).runs[0]!;
    expect(run.cache).toMatchObject({ tokensSeen: 67, tokensKept: 67 });
    expect(run.cache.expertCounts.slice(1).some((count) => count > 0)).toBe(true);
    const { own, mha } = await meter(page);
    expect(own).toBe(run.cache.bytesUsed);
    expect(own).toBeLessThanOrEqual(mha / 2);
    expect(await page.locator('article h2').innerText()).toBe('mha within 50 % of the cache');
    expect(await page.locator('.token.evicted').count()).toBe(0);
    const counts = run.cache.expertCounts.map(() => 0);
    for (const { experts } of run.tokens) experts?.forEach((expert) => counts[expert]!++);
    expect(counts).toEqual(run.cache.expertCounts);
    await page.getByLabel('KV budget').fill('0.05');
    await addressHas(page, 'kv_budget=0.05');
    await generate(page);
    await ended(page);
    expect(await page.locator('.notice').innerText()).toMatch(/^cache mean-attention:13721B: expected at least \d+ bytes, which 68 tokens at the coarsest need, got 13721; ask for fewer tokens/);
    await page.getByLabel('Tokens evicted').selectOption('window');
    await page.getByLabel('KV budget').evaluate((slider) => (slider as HTMLInputElement).value === '1' || Promise.reject(new Error('still limited')));
    await closing(page);
  });

  it('takes a model of the hub on request, keeps it, and stops on request', async () => {
    const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
    const hub = new FakeHub(new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(zoo, name))] as const))));
    const page = await open(`${GREEDY}&model=org/tiny`);
    await hub.answerIn(page.context());
    const download = page.getByRole('button', { name: 'Download it from huggingface.co' });
    await download.waitFor();
    // Until then nothing was asked for.
    expect(complaints.splice(0)).toEqual([]);

    hub.stalls = true;
    await download.click();
    await page.getByRole('status').filter({ hasText: /\.json: [\d.]+ kB of 2\.24 MB/ }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await download.waitFor();
    hub.stalls = false;
    await download.click();
    await page.locator('.model [role=status]', { hasText: 'org/tiny: 1.1 million parameters' }).waitFor();
    await generate(page);
    await ended(page);
    expect(await textOf(page)).toBe(await inNode('mixsga:3:1:6'));

    hub.asked.length = 0;
    await page.reload();
    await download.click();
    await generate(page);
    await ended(page);
    expect(hub.asked.filter((path) => path.includes('/resolve/'))).toEqual([]);
    expect(hub.asked.every((path) => path.includes('org/tiny'))).toBe(true);
    await page.context().close();
    expect(complaints.splice(0).filter((text) => !text.startsWith('asked for https://huggingface.co/'))).toEqual([]);
  });

  it('says why a model of the hub cannot be had, or does not fit, before its weights are fetched', async () => {
    const large = { ...(JSON.parse(await readFile(join(zoo, 'config.json'), 'utf8')) as object), hidden_size: 8192, word_embed_proj_dim: 8192, ffn_dim: 32768, num_hidden_layers: 40, num_attention_heads: 64 };
    const hub = new FakeHub(new Map([['config.json', Buffer.from(JSON.stringify(large))], ['model.safetensors', Buffer.alloc(2000)], ['tokenizer.json', Buffer.from('{}')]]));
    const page = await open(`${GREEDY}&backend=wasm`);
    await hub.answerIn(page.context());
    await ended(page);
    const ask = async (id: string) => {
      await page.getByLabel('From the Hugging Face hub').fill(id);
      await page.getByRole('button', { name: 'Download', exact: true }).click();
      await page.getByRole('alert').waitFor();
      return page.getByRole('alert').innerText();
    };
    expect(await ask('org/tiny')).toMatch(/^org\/tiny does not fit this device on wasm: its weights take 32,\d\d\d MB in their smallest form \(int8\); choose a smaller model/);
    expect(hub.asked.filter((path) => path.endsWith('model.safetensors'))).toEqual([]);
    expect(await ask('org/none')).toContain('the hub answers 404: no model org/none with a revision main; check both names');
    expect(await ask('none')).toMatch(/^model "none": expected "organisation\/name"/);
    await page.context().close();
    complaints.length = 0; // the browser tells of the 404
  });

  it('says what is missing where there is no WebGPU', async () => {
    const page = await open(GREEDY);
    await ended(page);
    await page.workers()[0]!.evaluate(() => Object.defineProperty(navigator, 'gpu', { value: undefined }));
    await page.getByLabel('Backend').selectOption('webgpu');
    await generate(page);
    await ended(page);
    expect(await page.getByRole('alert').innerText()).toBe("backend webgpu can't start: this browser has no WebGPU; use a browser and a machine with WebGPU");
    await page.getByLabel('Backend').selectOption('wasm');
    await generate(page);
    await ended(page);
    expect(await textOf(page)).toBe(await inNode('mixsga:3:1:6'));
    await closing(page);
  });

  it('keeps its memory over 8 runs', async () => {
    const page = await open(`${GREEDY}&attention2=mha&max=120`.replace('max=60&', ''));
    await ended(page, 2);
    expectKept(await growth(built.browser, page, 8), 8);
    await closing(page);
  }, 300_000);

  it.each([
    ['light', { colorScheme: 'light', viewport: { width: 1360, height: 900 } }, ''],
    ['dark', { colorScheme: 'dark', viewport: { width: 1360, height: 900 } }, 'attention2=mha'],
    ['on a phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }, ''],
  ] as const)('is accessible, %s', async (name, options, fragment) => {
    const page = await open(`${GREEDY}&eviction=h2o%3A0.6&${fragment}`, options);
    await ended(page, fragment ? 2 : 1);
    await page.getByRole('listbox').first().focus();
    for (const details of await page.locator('details').all()) await details.evaluate((element) => ((element as HTMLDetailsElement).open = true));
    expect(await violations(page)).toEqual([]);
    // Nothing is wider than the screen.
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    if (process.env.MIXSGA_SCREENSHOTS) await page.screenshot({ path: join(process.env.MIXSGA_SCREENSHOTS, `${name}.png`), fullPage: true });
    await page.context().close();
    expect(complaints.splice(0)).toEqual([]);
  });
});

/** A measurement, beside the tests. */
function report(line: string): void {
  process.stdout.write(`${line}\n`);
}

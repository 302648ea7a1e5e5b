// What the built page says of its runs and its models, in Debian's chromium.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';
import { BuiltPage, CHROMIUM, hasChromium, RETRY } from './testing/built-page';
import { changedModel, modelFiles, zoo, type Changes } from './testing/changed-model';
import { FakeHub } from './testing/fake-hub';
import { drop, ended, exported, generate, textOf, violations } from './testing/page';

const GREEDY = 'temperature=0&top_p=1&pace=0&max=30&backend=wasm';

describe.skipIf(!hasChromium)(`what the page says in a browser${hasChromium ? '' : ` (there is no ${CHROMIUM})`}`, RETRY, () => {
  let built: BuiltPage;
  beforeAll(async () => void (built = await BuiltPage.start()), 120_000);
  /** Of changed models, whose files a page reads when it needs them. */
  const folders: string[] = [];
  beforeEach(() => void (built.complaints.length = 0)); // of a try before
  afterAll(async () => {
    await built?.stop();
    for (const folder of folders) await rm(folder, { recursive: true });
  });

  const legend = (page: Page) => page.locator('.legend').first().locator('li').allInnerTexts().then((texts) => texts.map((text) => text.replace(/^token\s*/, '')));
  const keeps = (page: Page, run = 0) => page.locator('article.run').nth(run).locator('.detail tbody td:nth-child(2)').allInnerTexts();
  const fills = (page: Page) => page.locator('.text .token').evaluateAll((all) => [...new Set(all.map((each) => (each as HTMLElement).style.getPropertyValue('--fill')))]);

  it('exports the settings and the model of the run, whatever those of the page have become', async () => {
    const page = await built.open(`${GREEDY}&seed=3&attention=mixsga:3:1:6`);
    await ended(page);
    await page.getByLabel('Prompt').fill('Congress');
    await page.getByLabel('Seed').fill('9');
    await page.getByLabel('New tokens').fill('5');
    await page.locator('#variant-0-kind').selectOption('gqa');
    await drop(page, zoo, modelFiles);
    await page.locator('.model [role=status]', { hasText: 'your files' }).waitFor();
    const before = await exported(page);
    expect(before.settings).toMatchObject({
      prompt: 'The state of the Union is', seed: 3, maxNewTokens: 30, model: 'sotu-mini', variants: [{ attention: 'mixsga:3:1:6', eviction: 'none' }],
    });
    expect(before.model).toMatchObject({ name: 'sotu-mini', layers: 4, kvHeads: 8 });
    expect(before.runs.map(({ attention }) => attention)).toEqual(['mixsga:3:1:6']);

    await generate(page);
    await ended(page);
    const after = await exported(page);
    expect(after.settings).toMatchObject({ prompt: 'Congress', seed: 9, maxNewTokens: 5, model: 'files', variants: [{ attention: 'gqa:2' }] });
    expect(after.model.name).toBe('your files');
    await built.closing(page);
  });

  it.each([
    ['mha', ['keeps all 8 heads'], 'all 8 heads', '100%'],
    ['gqa:2', ['keeps 4 of 8 heads: 50 % of the memory'], '4 of 8 heads', '50%'],
    ['cla:2', ['keeps all 8 heads, shared by 2 layers: 50 % of the memory'], 'all 8 heads, shared by 2 layers', '50%'],
    ['latent:1@4', ['keeps 64 of 256 dimensions: 25 % of the memory'], '64 of 256 dimensions', '25%'],
  ])('says what %s keeps of each token', async (attention, marks, kept, fill) => {
    const page = await built.open(`${GREEDY}&attention=${attention}`);
    await ended(page);
    await expect.poll(() => legend(page)).toEqual(marks);
    await expect.poll(() => keeps(page)).toEqual([kept, kept, kept, kept]);
    // All but the last token are in the cache.
    await expect.poll(() => fills(page)).toEqual([fill, '']);
    await page.getByText('The same as a table').click();
    await page.locator('.map-table table').waitFor();
    expect(await page.locator('.map-table th').allInnerTexts()).toEqual(['Layer', kept, 'evicted', '1', '2', '3', '4']);
    await page.locator('#variant-0-kind').waitFor();
    if (attention !== 'mha') await page.locator('fieldset .hint', { hasText: `Keeps ${kept}.` }).waitFor();
    await built.closing(page);
  });

  it('says what a KV budget left of a token, and what eviction did, side by side', async () => {
    const page = await built.open(`${GREEDY}&attention=mha&kv_budget=0.4&attention2=gqa:2&eviction2=window:0.5`);
    await ended(page, 2);
    const { runs } = await exported(page);
    const texts = ['all 8 heads', '4 of 8 heads', '2 of 8 heads', '1 of 8 heads'].slice(0, runs[0]!.kept.length);
    expect(runs[0]!.kept).toEqual(texts.map((text, i) => ({ share: 2 ** -i, text })));
    expect(runs[0]!.kept.length).toBeGreaterThan(2);
    expect(runs[1]!.kept).toEqual([{ share: 0.5, text: '4 of 8 heads' }]);
    // Each has its own legend, which names it.
    expect(await page.locator('.legend').evaluateAll((lists) => lists.map((list) => list.getAttribute('aria-label')))).toEqual([
      'What the marks mean, of mha', 'What the marks mean, of gqa:2',
    ]);
    expect(await page.locator('.legend').nth(1).locator('li').allInnerTexts()).toEqual([
      'gqa:2', expect.stringMatching(/keeps 4 of 8 heads: 50 % of the memory$/), expect.stringMatching(/keeps nothing: evicted$/),
    ]);
    const at = async (run: number, token: number) => {
      await page.locator(`#run-${run}-token-${token}`).click();
      await page.locator('article.run').nth(run).locator('.detail p', { hasText: `token ${token + 1},` }).waitFor();
      return keeps(page, run);
    };
    expect(await at(0, 0)).toEqual(runs[0]!.tokens[0]!.experts!.map((expert) => texts[expert]));
    expect(runs[0]!.tokens[0]!.experts!.some((expert) => expert > 0)).toBe(true);
    const gone = runs[1]!.tokens.findIndex(({ evictedFromLayers }) => evictedFromLayers?.length === 4);
    expect(gone).toBeGreaterThan(0);
    expect(await at(1, gone)).toEqual(Array(4).fill('nothing, evicted'));
    await built.closing(page);
  });

  /** Opens a changed sotu-mini, and waits until it is there. */
  async function openChanged(page: Page, changes: Changes): Promise<void> {
    const { folder, paths } = await changedModel(changes);
    await page.getByLabel('Files of a model').setInputFiles(paths);
    await page.locator('.model [role=status]', { hasText: 'your files' }).waitFor();
    folders.push(folder);
  }

  it('shows how far a long prompt is, and stops in its midst', async () => {
    const page = await built.open(`${GREEDY}&attention=mha`);
    await ended(page);
    const positions = 2048;
    await openChanged(page, {
      config: { max_position_embeddings: positions },
      tensors: {
        'model.decoder.embed_positions.weight': (values, [, width]) => ({
          values: Float32Array.from({ length: (positions + 2) * width! }, (_, i) => values[i % values.length]!), shape: [positions + 2, width!],
        }),
      },
    });
    // Plain JavaScript takes a minute or more for it.
    await page.getByLabel('Backend').selectOption('cpu');
    await page.getByLabel('Prompt').fill('war '.repeat(1500));
    await generate(page);
    const progress = page.getByRole('progressbar', { name: 'reading the prompt' });
    const done = async () => Number(await progress.getAttribute('value'));
    await progress.waitFor({ timeout: 60_000 });
    const first = await done();
    await expect.poll(done, { timeout: 60_000 }).toBeGreaterThan(first);
    expect(await page.locator('.status').innerText()).toMatch(/^reading the prompt, \d+ %$/);
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await ended(page);
    const [, percent] = /^stopped at (\d+) % of the prompt$/.exec(await page.locator('.status').innerText())!;
    expect(Number(percent)).toBeLessThan(100);
    expect(await textOf(page)).toBe('');
    expect(await progress.count()).toBe(0);
    // Nothing is left behind of it.
    await page.getByLabel('Backend').selectOption('wasm');
    await page.getByLabel('Prompt').fill('The state of the Union is');
    await generate(page);
    await ended(page);
    expect((await exported(page)).runs[0]!.cache.tokensSeen).toBe(8 + 29);
    await built.closing(page);
  });

  it('names the parameter that is NaN, or the layer and the token where finite ones overflow', async () => {
    const page = await built.open(`${GREEDY}&attention=mha`);
    await ended(page);
    const notice = async (changes: Changes) => {
      await openChanged(page, changes);
      await generate(page);
      await page.locator('article[data-status=failed]').waitFor();
      return page.getByRole('alert').innerText();
    };
    const name = 'model.decoder.layers.1.fc1.weight';
    expect(await notice({ tensors: { [name]: (values, shape) => ({ values: values.with(7, NaN), shape }) } })).toBe(
      `model.safetensors: ${name}: expected finite weights, got NaN at index 7 of 65536; the model is damaged, fetch or save it again`,
    );
    expect(await notice({ tensors: { [name]: (values, shape) => ({ values: values.fill(3e38), shape }) } })).toBe(
      'prefill: expected finite logits, got NaN or infinite ones, which begin in layer 1 at token 0; check whether the weights and config.json are damaged',
    );
    await built.closing(page);
  });

  it('shows what opening a model warned of, in place of the console', async () => {
    // A token of white space has a name for screen readers too.
    const page = await built.open(`${GREEDY}&attention=mha&prompt=Congress+`);
    await ended(page);
    for (let times = 0; times < 2; times++) {
      await openChanged(page, { config: { hiden_size: 3, flavour: 'lime' } });
      await page.locator('.model .notice').waitFor();
      expect(await page.locator('.model .notice').allInnerTexts()).toEqual(['config.json: ignored 2 unknown keys: hiden_size, flavour.']);
    }
    expect(await violations(page)).toEqual([]);
    await generate(page);
    await ended(page);
    expect(await page.locator('article .notice').count()).toBe(0);
    expect((await exported(page)).model.warnings).toEqual(['config.json: ignored 2 unknown keys: hiden_size, flavour']);
    await page.getByRole('button', { name: 'Use the shipped sotu-mini' }).click();
    await page.locator('.model [role=status]', { hasText: 'sotu-mini' }).waitFor();
    expect(await page.locator('.model .notice').count()).toBe(0);
    await built.closing(page);
  });

  it('shows under Model why a download failed, with the previous model or without, and tries it again', async () => {
    const hub = new FakeHub(new Map(await Promise.all(modelFiles.map(async (name) => [name, await readFile(join(zoo, name))] as const))));
    const page = await built.open(`${GREEDY}&model=org/tiny`);
    await hub.answerIn(page.context());
    const alert = page.locator('.model').getByRole('alert');
    const texts = () => alert.locator('p').allInnerTexts();
    const again = page.getByRole('button', { name: 'Try org/tiny again' });
    const advice = 'Or get its files in another way, and drop them on this page.';

    hub.offline = true;
    await page.getByRole('button', { name: 'Download it from huggingface.co' }).click();
    await alert.waitFor();
    expect(await texts()).toEqual([expect.stringMatching(/^https:\/\/huggingface\.co\/org\/tiny: cannot be reached: .*; check the connection and run again\.$/), advice]);
    expect(await page.locator('.composer [role=status]').innerText()).toBe('No model is open. Under Model stands why, and what to do.');
    expect(await violations(page)).toEqual([]);
    hub.offline = false;
    hub.damages = true;
    await again.click();
    await alert.filter({ hasText: 'hash' }).waitFor();
    expect(await texts()).toEqual([expect.stringMatching(/\/model\.safetensors: expected content of the hash [0-9a-f]{40}, got another; nothing was kept, run again\.$/), advice]);
    hub.damages = false;
    await again.click();
    await page.locator('.model [role=status]', { hasText: 'org/tiny: 1.1 million parameters' }).waitFor();
    expect(await alert.count()).toBe(0);

    hub.offline = true;
    await page.getByLabel('From the Hugging Face hub').fill('org/other');
    await page.getByRole('button', { name: 'Download', exact: true }).click();
    await alert.waitFor();
    expect((await texts())[0]).toMatch(/run again\. The previous model is still loaded\.$/);
    // Which runs.
    await generate(page);
    await ended(page);
    expect((await exported(page)).model.name).toBe('org/tiny');
    await page.context().close();
    built.complaints.length = 0; // the browser tells of the failed requests
  });
});

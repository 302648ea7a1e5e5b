// What the built page says of its runs, in Debian's chromium.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';
import { BuiltPage, CHROMIUM, hasChromium } from './testing/built-page';
import { drop, ended, exported, generate } from './testing/page';

const zoo = fileURLToPath(new URL('../../../packages/models/zoo/sotu-mini', import.meta.url));
const GREEDY = 'temperature=0&top_p=1&pace=0&max=30&backend=wasm';

describe.skipIf(!hasChromium)(`the runs of the page in a browser${hasChromium ? '' : ` (there is no ${CHROMIUM})`}`, () => {
  let built: BuiltPage;
  beforeAll(async () => void (built = await BuiltPage.start()), 120_000);
  afterAll(() => built?.stop());

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
    await drop(page, zoo, ['config.json', 'tokenizer.json', 'model.safetensors']);
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
    expect(await legend(page)).toEqual(marks);
    expect(await keeps(page)).toEqual([kept, kept, kept, kept]);
    // All but the last token are in the cache.
    expect(await fills(page)).toEqual([fill, '']);
    await page.getByText('The same as a table').click();
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
});

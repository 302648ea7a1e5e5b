// What the built page takes of time and memory, on a machine that has nothing else to do.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltPage, hasChromium } from './testing/built-page';
import { expectKept, growth } from './testing/growth';
import { ended, generate } from './testing/page';

describe.skipIf(!hasChromium)('the page on an idle machine', () => {
  let built: BuiltPage;
  beforeAll(async () => void (built = await BuiltPage.start()), 120_000);
  afterAll(() => built?.stop());

  it('writes the first token within 5 s of a first visit', async () => {
    const begin = performance.now();
    const page = await built.open();
    await page.locator('.text .token:not(.of-prompt)').first().waitFor();
    const seconds = (performance.now() - begin) / 1000;
    process.stdout.write(`first visit to first token: ${seconds.toFixed(2)} s\n`);
    expect(seconds).toBeLessThan(5);
    await built.closing(page);
  });

  it('keeps its memory over 40 runs, and 30 frames a second', async () => {
    const page = await built.open('temperature=0&top_p=1&pace=0&attention2=mha&max=120');
    await ended(page, 2);
    expectKept(await growth(built.browser, page, 40), 40);

    await page.getByLabel('Pace, tokens/s').fill('200');
    await page.getByLabel('New tokens').fill('240');
    await generate(page);
    const rate = await page.evaluate(
      () =>
        new Promise<number>((resolve) => {
          const begin = performance.now();
          let frames = 0;
          requestAnimationFrame(function count(now) {
            frames++;
            if (now - begin > 1500) resolve((1000 * frames) / (now - begin));
            else requestAnimationFrame(count);
          });
        }),
    );
    process.stdout.write(`while generating: ${rate.toFixed(0)} frames a second\n`);
    expect(rate).toBeGreaterThan(30);
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await built.closing(page);
  }, 300_000);
});

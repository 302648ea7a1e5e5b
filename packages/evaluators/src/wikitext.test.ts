import { describe, expect, it } from 'vitest';

import { runEvaluator } from './run';
import { BigramModel } from './testing';
import { detokenised, wikitext } from './wikitext';

describe('detokenised', () => {
  it.each([
    [' = = Course = = \n \n It is 1 @,@ 204 feet ( 367 m ) high . \n', ' == Course ==\n\nIt is 1,204 feet (367 m) high.\n'],
    ['the miller \'s well @-@ known house ; " the dark one " , he wrote : yes ! \n', 'the miller\'s well-known house; "the dark one", he wrote: yes!\n'],
    ['at 54 ° N . The [ stone ] { map }', 'at 54°N. The [stone] {map}'],
    ["the bridges ' arches", "the bridges' arches"],
    ['', ''],
  ])('%j', (page, text) => {
    expect(detokenised(page)).toBe(text);
  });
});

describe('wikitext', () => {
  const uniform = new BigramModel({ logits: Array.from({ length: 7 }, () => new Array<number>(7).fill(0)), contextLength: 8 });
  const run = (...pages: unknown[]) =>
    runEvaluator(wikitext, uniform, { name: 'pages', rows: pages.map((page, i) => ({ value: { page }, where: `line ${i + 1}` })) }, { routing: 'decode' });

  it('counts words and bytes of the page as it was, and predicts it as it would be written', async () => {
    // 12 tokens after detokenising; 4 words, of which the last is empty; 17 bytes.
    const { metrics, samples, details } = await run('é @-@ bcdefghij ');
    const logLikelihood = -12 * Math.log(7);
    expect(samples[0]!.word_perplexity[0]).toBeCloseTo(logLikelihood, 4);
    expect(samples[0]!.word_perplexity[1]).toBe(4);
    expect(details).toMatchObject({ pages: 1, words: 4, bytes: 17 });
    expect(metrics.word_perplexity! / Math.exp(-logLikelihood / 4)).toBeCloseTo(1, 5);
    expect(metrics.byte_perplexity).toBeCloseTo(Math.exp(-logLikelihood / 17), 5);
    expect(metrics.bits_per_byte).toBeCloseTo(Math.log2(Math.exp(-logLikelihood / 17)), 5);
    expect(metrics.word_perplexity_stderr).toBeNull();
  });

  it('weighs pages by their words and bytes', async () => {
    const { metrics } = await run('ab', 'abcdefgh');
    expect(metrics.word_perplexity).toBeCloseTo(7 ** (10 / 2), 0);
    expect(metrics.byte_perplexity).toBeCloseTo(7, 4);
  });

  it('weighs an empty page as nothing, and refuses empty pages alone, whose perplexity would be NaN', async () => {
    const [alone, beside] = [await run('ab'), await run('ab', '')];
    expect(beside.metrics.byte_perplexity).toBe(alone.metrics.byte_perplexity);
    await expect(run('', '')).rejects.toThrow('wikitext: expected a text of 1 byte or more, got none in 2 pages; check the data');
  });

  it('refuses rows without a page', async () => {
    await expect(run('ab', undefined)).rejects.toThrow("line 2: expected a text in 'page', got nothing");
  });
});

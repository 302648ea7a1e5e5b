import type { SweepReport } from '@mixsga/training';
import { DOMParser } from '@xmldom/xmldom';
import { describe, expect, it } from 'vitest';

import { bestLine, sweepMarkdown, sweepPlot, sweepTable } from './render';

const KEY = 'model.attention';

/** A sweep of two seeds, numbers made up. */
function sweepOf(perplexities: Record<string, [number, number]>, chosen: Pick<SweepReport, 'metric' | 'higherIsBetter' | 'best'>): SweepReport {
  const metricsOf = (perplexity: number) => ({ perplexity, 'hellaswag.acc': perplexity / 100, 'hellaswag.acc_stderr': 0.01 });
  const spreadOf = (a: number, b: number) => ({ mean: (a + b) / 2, min: Math.min(a, b), max: Math.max(a, b), std: Math.abs(a - b) / Math.SQRT2, seeds: 2 });
  return {
    schema: 'mixsga/sweep@1',
    backend: 'wasm',
    corpus: 'sotu',
    seconds: 100,
    keys: [KEY],
    settings: Object.entries(perplexities).map(([attention, [a, b]]) => ({
      settings: { [KEY]: attention }, seeds: [1, 2], parameters: 1_070_000, kvBudget: 0.5, kvBytesPerToken: 2048,
      metrics: { perplexity: spreadOf(a, b), 'hellaswag.acc': spreadOf(a / 100, b / 100), 'hellaswag.acc_stderr': spreadOf(0.01, 0.01) },
    })),
    runs: Object.entries(perplexities).flatMap(([attention, seeds]) =>
      seeds.map((perplexity, i) => ({ settings: { [KEY]: attention }, seed: i + 1, folder: `${attention}-${i}`, tokens: 10_240, metrics: metricsOf(perplexity) })),
    ),
    ...chosen,
  };
}

describe('the report of a sweep', () => {
  const report = sweepOf({ 'gqa:2': [40, 42], 'mixsga:3:1:6': [41, 44], 'cla:2': [50, 50] }, { metric: 'perplexity', higherIsBetter: false, best: 0 });

  it('tells the best setting, and whose ranges overlap with it', () => {
    expect(bestLine(report)).toBe("Lowest perplexity: 41 (40 to 42) with attention gqa:2; the seeds' ranges of 1 other overlap with it.");
    const upwards = sweepOf({ 'gqa:2': [40, 42], 'cla:2': [50, 50] }, { metric: 'hellaswag.acc', higherIsBetter: true, best: 1 });
    expect(bestLine(upwards)).toBe('Highest hellaswag.acc: 0.5 with attention cla:2.');
    expect(bestLine({ ...report, metric: 'hellaswag.f1', best: null })).toBe(
      'No run has the metric hellaswag.f1; they have perplexity, hellaswag.acc, hellaswag.acc_stderr.',
    );
  });

  it('is a table, a document and a plot', async () => {
    const [head, , first] = sweepTable(report).split('\n');
    expect(head).toMatch(/^model\.attention +parameters +KV cache +bytes\/token +perplexity +hellaswag\.acc$/);
    expect(first).toMatch(/^gqa:2 +1,070,000 +50 % +2,048 +41 \(40 to 42\) +0\.41 \(0\.4 to 0\.42\)$/);
    const markdown = sweepMarkdown(report);
    expect(markdown).toContain('| gqa:2 | 1,070,000 | 50 % | 2,048 | 41 (40 to 42) |');
    expect(markdown).toContain('6 runs of 10,240 tokens');
    const svg = (await sweepPlot(report))!;
    const document = new DOMParser().parseFromString(svg, 'image/svg+xml');
    const points = [...document.getElementsByTagName('path')].filter((path) => path.getAttribute('aria-roledescription') === 'point');
    expect(points).toHaveLength(3);
  });
});

// The frontier with few tokens, from the command line to its report and to one that is made of the results alone.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type ComparisonConfigInput, parseReport, presets } from '@mixsga/training';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { run } from './testing/command-line';

const frontier = presets['frontier/sotu']!.config as ComparisonConfigInput;

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-frontier-'))));
afterAll(() => rm(folder, { recursive: true }));

const read = (...path: string[]) => readFileSync(join(folder, ...path), 'utf8');

it('trains every variant, goes on where it was, and ends with table, plot and the best at each budget', async () => {
  const few = frontier.methods.flatMap(({ tasks = [] }, method) => tasks.map((_, task) => `methods.${method}.tasks.${task}.maxWindows=2`));
  const settings = ['seeds=[1,2]', 'tokens=1024', 'finalEvaluationWindows=4', 'evaluateEvery=0', ...few].flatMap((setting) => ['--set', setting]);
  const train = () => run(folder, ['train', 'frontier/sotu', '--out', 'out', '--resume', ...settings]);
  const first = await train();
  expect(`${first.code} ${first.err}`).toMatch(/^0 /);
  expect(first.out).toMatch(/report: out\/report\.md\n$/);
  const report = parseReport(JSON.parse(read('out', 'report.json')));
  expect(report.methods).toHaveLength(2 * frontier.methods.length);
  for (const { attention, kvBytesPerToken, realisedKvBytesPerToken, agreement } of report.methods) {
    expect(kvBytesPerToken, attention).toBeGreaterThanOrEqual(256);
    if (agreement !== null) expect(realisedKvBytesPerToken!.prefill / kvBytesPerToken, attention).toBeCloseTo(1, 1);
  }
  const latents = report.methods.filter(({ name }) => name === 'Latent 1/2');
  expect(latents).toHaveLength(2);
  for (const { evaluations } of latents) {
    const bytes = (task: string) => evaluations![task]!.metrics.kv_bytes_per_token_cache!;
    expect([262_144, 131_072, 65_536].map((budget) => bytes(`KV budget at ${budget} bytes`) <= budget / 256)).toEqual([true, true, true]);
    // Eviction keeps 8 bytes of each token and layer beside the latent.
    expect([128, 64, 32].map((tokens) => bytes(`H2O at ${tokens} tokens`))).toEqual([1040, 520, 260]);
  }
  const markdown = read('out', 'report.md');
  expect(markdown).toContain('## The best at each budget\n\n- **50 % of the KV cache**: ');
  expect(markdown).toMatch(/- \*\*12\.5 % of the KV cache\*\*: Latent 1\/8, .*: GQA 8, aligned/);
  expect(read('out', 'perplexity-kv.svg')).toContain('mean of 2 seeds; bars: lowest and highest');

  const again = await train();
  expect(again.out).toBe(first.out);
  expect(again.err).toContain(`${report.methods.length} of ${report.methods.length} runs are finished already`);
  const made = await run(folder, ['report', 'out', '--out', 'made']);
  expect(made.out).toMatch(/^report: made\/report\.md, with \d+ plots?, of \d+ files?\n$/);
  expect(read('made', 'report.md')).toContain('- **50 % of the KV cache**: ');
  expect(read('made', 'comparison-out.svg')).toBe(read('out', 'perplexity-kv.svg'));
}, 1_200_000);

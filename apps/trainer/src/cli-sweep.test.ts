import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Report, SweepReport } from '@mixsga/training';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run, writeCorpus } from './testing/command-line';

const SLOW = 240_000;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);
const read = (...parts: string[]): unknown => JSON.parse(readFileSync(at(...parts), 'utf8'));

const shared = {
  data: { corpus: 'corpus.txt', vocabularySize: 300 },
  sequenceLength: 32,
  batchSize: 4,
  optimizer: { learningRate: 0.01 },
  evaluateEvery: 0,
  finalEvaluationWindows: 4,
};
const tasks = [
  { task: 'perplexity', data: 'corpus.txt', maxWindows: 4 },
  { task: 'perplexity', name: 'evicted', data: 'corpus.txt', eviction: 'h2o:0.5', maxWindows: 2 },
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-sweep-'));
  await writeCorpus(folder);
  const init = { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, contextLength: 32 };
  await writeFile(at('base.json'), JSON.stringify({ ...shared, model: { init }, tokens: 2560 }));
  expect((await run(folder, ['train', 'base.json', '--out', 'base'])).code).toBe(0);
}, SLOW);
afterAll(() => rm(folder, { recursive: true }));

describe('a comparison with tasks', () => {
  it(
    'measures them in each run, once, and tells mean and range over the seeds',
    async () => {
      const methods = [{ name: 'GQA', attention: 'gqa:2' }, { name: 'mixSGA', attention: 'mixsga:3:1:6' }];
      await writeFile(at('compare.json'), JSON.stringify({ ...shared, kind: 'comparison', from: 'base', methods, seeds: [1, 2], tokens: 256, tasks }));
      const first = await run(folder, ['train', 'compare.json', '--out', 'compared']);
      expect(`${first.code} ${first.err}`).toMatch(/^0 /);
      const report = read('compared', 'report.json') as Report;
      expect(report.schema).toBe('mixsga/report@2');
      expect(report.methods).toHaveLength(4);
      // Of the base, though GQA takes away some of its parameters and routers add some.
      const base = JSON.parse((await run(folder, ['inspect', 'base', '--json'])).out) as { parameters: number };
      expect(report.model).toEqual({ parameters: base.parameters, layers: 2, heads: 4, hidden: 32 });
      const { parameters: grouped } = (read('compared', 'runs/gqa-seed1/result.json') as { model: { parameters: number } }).model;
      expect(grouped).toBeLessThan(base.parameters);
      for (const { evaluations } of report.methods) {
        expect(Object.keys(evaluations!)).toEqual(['perplexity', 'evicted']);
        expect(evaluations!.perplexity).toMatchObject({ task: 'perplexity', routing: 'decode' });
        // A cache that lost half of the tokens predicts otherwise.
        expect(evaluations!.evicted!.metrics.perplexity).not.toBe(evaluations!.perplexity!.metrics.perplexity);
      }
      expect(first.out).toMatch(/^method +KV cache +perplexity\.perplexity +perplexity\.nll +evicted\.perplexity/m);
      expect(first.out).toMatch(/^mixSGA +50 % +[\d.,]+ \([\d.,]+ to [\d.,]+\)/m);
      expect(readFileSync(at('compared', 'report.md'), 'utf8')).toContain('## What the tasks found');

      // Another task is measured alone: no run trains again, and what was measured stays.
      const old = at('compared', 'runs', 'gqa-seed1', 'evaluations', 'evicted.json');
      const before = statSync(old).mtimeMs;
      const more = await run(folder, ['train', 'compare.json', '--set', 'tasks.0.maxWindows=2', '--out', 'compared', '--resume']);
      expect(more.code).toBe(0);
      expect(statSync(old).mtimeMs).toBe(before);
      const again = (read('compared', 'report.json') as Report).methods;
      expect(again.map(({ perplexity }) => perplexity)).toEqual(report.methods.map(({ perplexity }) => perplexity));
      expect(again[0]!.evaluations!.evicted).toEqual(report.methods[0]!.evaluations!.evicted);
      expect(again[0]!.evaluations!.perplexity).not.toEqual(report.methods[0]!.evaluations!.perplexity);
    },
    SLOW,
  );
});

describe('a sweep', () => {
  const grid = { 'model.attention': ['gqa:2', 'mixsga:1:1:2'], seed: [1, 2] };
  const sweep = { kind: 'sweep', base: { ...shared, model: { from: 'base' }, tokens: 256, tasks: tasks.slice(0, 1) }, grid, metric: 'perplexity.nll' };

  it(
    'runs its grid, tells the best, and goes on where the grid has grown',
    async () => {
      await writeFile(at('sweep.json'), JSON.stringify(sweep));
      const first = await run(folder, ['sweep', 'sweep.json', '--out', 'swept']);
      expect(`${first.code} ${first.err}`).toMatch(/^0 /);
      const report = read('swept', 'sweep.json') as SweepReport;
      expect(report.runs.map((each) => each.folder)).toEqual(['gqa-2_seed-1', 'gqa-2_seed-2', 'mixsga-1-1-2_seed-1', 'mixsga-1-1-2_seed-2']);
      expect(report.settings.map(({ settings, seeds, kvBudget }) => [settings['model.attention'], seeds, kvBudget])).toEqual([
        ['gqa:2', [1, 2], 0.5],
        ['mixsga:1:1:2', [1, 2], 0.5],
      ]);
      const means = report.settings.map(({ metrics }) => metrics['perplexity.nll']!.mean);
      expect(report.best).toBe(means.indexOf(Math.min(...means)));
      expect(first.out).toMatch(/^Lowest perplexity\.nll: [\d.]+ \([\d.]+ to [\d.]+\) with attention /m);
      expect(readdirSync(at('swept')).sort()).toEqual(['runs', 'seconds.json', 'sweep.json', 'sweep.md', 'sweep.svg']);

      const kept = at('swept', 'runs', 'gqa-2_seed-1', 'result.json');
      const before = statSync(kept).mtimeMs;
      const more = await run(folder, ['sweep', 'sweep.json', '--set', 'grid.seed=[1,2,3]', '--out', 'swept', '--resume']);
      expect(more.err).toContain('4 of 6 runs are finished already');
      expect(statSync(kept).mtimeMs).toBe(before);
      expect((read('swept', 'sweep.json') as SweepReport).settings[1]!.seeds).toEqual([1, 2, 3]);
    },
    SLOW,
  );

  it.each<[string[], number, RegExp]>([
    [['--set', 'grid={}'], 2, /^mixsga: sweep\.json: grid: expected a setting with the values to try/],
    [['--set', 'maximumRuns=3'], 2, /^mixsga: sweep\.json: grid: 2 × 2 values make 4 runs, expected at most 3; shorten the lists, or raise maximumRuns/],
    [['--set', 'metric=hellaswag.acc'], 2, /^mixsga: sweep\.json: metric: expected one of perplexity, .*, got "hellaswag\.acc"/],
    [['--set', 'grid.seeds=[1]'], 2, /^mixsga: sweep\.json: unknown key seeds; did you mean seed\?/],
    [['--set', 'grid={"model.attention":["gqa:3"]}'], 2, /^mixsga: .*4 KV heads, got 3/],
    [['--set', 'base.tasks.0.task=perplexitty'], 2, /^mixsga: sweep\.json: tasks\.0\.task: expected one of perplexity, .*, got "perplexitty"/],
    [['--set', 'kind=run'], 2, /^mixsga: sweep\.json: unknown key base/],
  ])('refuses %j in a line, and writes nothing', async (args, code, message) => {
    const ended = await run(folder, ['sweep', 'sweep.json', ...args, '--out', 'refused']);
    expect({ ...ended, err: '' }).toEqual({ code, out: '', err: '' });
    expect(ended.err.trimEnd().split('\n')).toHaveLength(1);
    expect(ended.err).toMatch(message);
    expect(existsSync(at('refused'))).toBe(false);
  });

  it('is not a comparison, and the presets are listed', async () => {
    expect(await run(folder, ['sweep', 'demo'])).toMatchObject({ code: 2, err: 'mixsga: preset demo: kind: expected "sweep", got "comparison"; mixsga train runs it\n' });
    const { out } = await run(folder, ['presets', 'shipped']);
    expect(out).toMatch(/^sotu-mini +run +the shipped model, from random weights$/m);
  });
});

import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { parseStrict } from '../config/strict';
import { higherIsBetter } from '../experiment/metrics';
import type { FinishedRun } from '../experiment/run-all';
import { collate } from './collate';
import { sweepConfig } from './config';
import { planSweep, type SweepRun } from './plan';

const base = { model: { from: 'sotu-mini' }, sequenceLength: 64, batchSize: 4, tokens: 10_000, optimizer: { learningRate: 1e-3 } };
const plan = (grid: unknown, rest: object = {}) => planSweep(parseStrict(sweepConfig, { kind: 'sweep', base, grid, ...rest }, 's.json'), 's.json');
const refusal = (grid: unknown, rest: object = {}) => {
  try {
    plan(grid, rest);
  } catch (error) {
    expect(ArgumentError.isInstance(error)).toBe(true);
    return (error as Error).message;
  }
  return 'no error';
};

describe('planSweep', () => {
  it('makes a run of every combination, the last key changing fastest', () => {
    const runs = plan({ 'model.attention': ['gqa:2', 'mixsga:3:1:6'], 'optimizer.learningRate': [1e-3, 2e-3], seed: [1, 2] });
    expect(runs.map(({ folder }) => folder)).toEqual([
      'gqa-2_learningrate-0-001_seed-1', 'gqa-2_learningrate-0-001_seed-2', 'gqa-2_learningrate-0-002_seed-1', 'gqa-2_learningrate-0-002_seed-2',
      'mixsga-3-1-6_learningrate-0-001_seed-1', 'mixsga-3-1-6_learningrate-0-001_seed-2', 'mixsga-3-1-6_learningrate-0-002_seed-1', 'mixsga-3-1-6_learningrate-0-002_seed-2',
    ]);
    expect(runs[6]).toMatchObject({
      name: 'attention mixsga:3:1:6, learningRate 0.002, seed 1',
      settings: { 'model.attention': 'mixsga:3:1:6', 'optimizer.learningRate': '0.002' },
      seed: 1,
      config: { ...base, model: { from: 'sotu-mini', attention: 'mixsga:3:1:6' }, optimizer: { learningRate: 2e-3 }, seed: 1 },
    });
  });

  it('takes groups of settings under names of their own', () => {
    const method = { GQA: { 'model.attention': 'gqa:2', 'optimizer.learningRate': 5e-4 }, mixSGA: { 'model.attention': 'mixsga:3:1:6', 'routerLoss.alpha': 0 } };
    const [gqa, mixed] = plan({ method });
    expect(gqa).toMatchObject({ settings: { method: 'GQA' }, config: { model: { attention: 'gqa:2' }, optimizer: { learningRate: 5e-4 } } });
    expect(mixed).toMatchObject({ folder: 'mixsga', config: { optimizer: { learningRate: 1e-3 }, routerLoss: { alpha: 0 } } });
  });

  it.each<[string, unknown, object, string]>([
    ['an empty grid', {}, {}, 's.json: grid: expected a setting with the values to try, such as {"seed": [1, 2, 3]}, got none'],
    ['a key without values', { seed: [] }, {}, 's.json: grid.seed: expected a list of values, or an object of named settings, with one or more, got []'],
    ['a value that is no list', { seed: 1 }, {}, 's.json: grid.seed: expected a list of values, or an object of named settings, with one or more, got 1'],
    ['a group that is no object', { method: { GQA: 'gqa:2' } }, {}, 's.json: grid.method.GQA: expected an object of settings, got gqa:2'],
    ['an unknown key', { 'optimizer.learnignRate': [1] }, {}, 's.json: unknown key optimizer.learnignRate; did you mean learningRate?'],
    ['a wrong value', { seed: ['x'] }, {}, 's.json: seed: expected number, got "x"'],
    ['values that share a folder', { 'model.attention': ['gqa:2', 'gqa 2'] }, {}, 's.json: grid: expected values that differ in their letters and digits, got attention gqa 2 twice'],
    ['a path through a number', { 'tokens.x': [1] }, {}, 's.json: grid.tokens.x: tokens in tokens.x is not an object or a list'],
    [
      'too many runs', { seed: [1, 2, 3, 4, 5, 6], tokens: [1, 2, 3], 'optimizer.learningRate': [1, 2] }, { maximumRuns: 35 },
      's.json: grid: 6 × 3 × 2 values make 36 runs, expected at most 35; shorten the lists, or raise maximumRuns',
    ],
  ])('refuses %s', (_, grid, rest, message) => {
    expect(refusal(grid, rest)).toBe(message);
  });

  it('gives long combinations a short folder of their own', () => {
    const value = (n: number) => ({ from: 'sotu-mini', attention: 'mha', router: { kind: 'sigmoid', seed: n } });
    const folders = plan({ model: Array.from({ length: 3 }, (_, n) => value(n)), 'data.corpus': ['x'.repeat(90)] }).map(({ folder }) => folder);
    expect(new Set(folders).size).toBe(3);
    for (const folder of folders) expect(folder.length).toBeLessThanOrEqual(120);
  });
});

/** Runs of a grid with made-up perplexities. */
function finished(perplexities: Record<string, number[]>): FinishedRun<SweepRun>[] {
  const runs = plan({ 'model.attention': Object.keys(perplexities), seed: [1, 2] });
  return runs.map((run) => {
    const decode = perplexities[run.settings['model.attention']!]![run.seed - 1]!;
    const result = { perplexity: { decode, prefill: decode }, agreement: null, backend: 'wasm', corpus: 'sotu', model: { parameters: 1_070_000 }, tokens: 10_240, kvBudget: 0.5, kvBytesPerToken: 2048 };
    const evaluations = { hellaswag: { task: 'hellaswag', routing: 'decode', metrics: { acc: decode / 100, acc_stderr: 0.01, acc_norm: null } } };
    return { ...run, path: '', result, evaluations } as unknown as FinishedRun<SweepRun>;
  });
}

describe('the report of a sweep', () => {
  const report = collate(finished({ 'gqa:2': [40, 42], 'mixsga:3:1:6': [41, 44], 'cla:2': [50, 50] }), { metric: 'perplexity', higherIsBetter: false, seconds: 100 });

  it('has mean, range and deviation over the seeds', () => {
    expect(report.settings[0]).toEqual({
      settings: { 'model.attention': 'gqa:2' },
      seeds: [1, 2],
      parameters: 1_070_000,
      kvBudget: 0.5,
      kvBytesPerToken: 2048,
      metrics: {
        perplexity: { mean: 41, min: 40, max: 42, std: Math.SQRT2, seeds: 2 },
        perplexity_prefill: { mean: 41, min: 40, max: 42, std: Math.SQRT2, seeds: 2 },
        'hellaswag.acc': { mean: expect.closeTo(0.41, 10) as number, min: 0.4, max: 0.42, std: expect.closeTo(Math.SQRT2 / 100, 10) as number, seeds: 2 },
        'hellaswag.acc_stderr': { mean: 0.01, min: 0.01, max: 0.01, std: 0, seeds: 2 },
      },
    });
    expect(report.runs.map(({ metrics }) => metrics.perplexity)).toEqual([40, 42, 41, 44, 50, 50]);
  });

  it('has the best setting by the metric, whichever way is better', () => {
    expect(report.best).toBe(0);
    const upwards = { metric: 'hellaswag.acc', higherIsBetter: true, seconds: 1 };
    expect(collate(finished({ 'gqa:2': [40, 42], 'cla:2': [50, 50] }), upwards).best).toBe(1);
    expect(collate(finished({ 'gqa:2': [40, 42] }), { ...upwards, metric: 'hellaswag.f1' }).best).toBeNull();
  });
});

describe('higherIsBetter', () => {
  const tasks = [{ task: 'routing', routing: 'decode' as const }, { task: 'perplexity', name: 'evicted', routing: 'decode' as const }];

  it('is what the evaluator says', () => {
    expect(['perplexity', 'agreement', 'routing.agreement', 'evicted.perplexity'].map((metric) => higherIsBetter(metric, tasks, 's.json'))).toEqual([false, true, true, false]);
  });

  it('refuses what no run can have', () => {
    expect(() => higherIsBetter('perplexitty', tasks, 's.json')).toThrow(
      's.json: metric: expected perplexity, or another of perplexity, perplexity_prefill, agreement, routing.METRIC, evicted.METRIC, got "perplexitty"',
    );
    expect(() => higherIsBetter('hellaswag.acc', tasks, 's.json')).toThrow(/^s\.json: metric: expected /);
  });
});

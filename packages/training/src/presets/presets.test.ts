import { inspectModel } from '@mixsga/models';
import { describe, expect, it } from 'vitest';

import { type ComparisonConfig, comparisonConfig, planRuns } from '../comparison/config';
import { higherIsBetter } from '../experiment/metrics';
import type { PlannedRun } from '../experiment/run-all';
import { type SweepConfig, sweepConfig } from '../sweep/config';
import { planSweep } from '../sweep/plan';
import { type RunConfig, runConfig } from '../config/run-config';
import { parseStrict } from '../config/strict';
import { presets } from '.';
import { budgetRatios, halfRatios, mixsga } from './paper/methods';
import { paperModels } from './paper/models';

const kinds = { run: runConfig, comparison: comparisonConfig, sweep: sweepConfig };
const parse = (name: string): RunConfig | ComparisonConfig | SweepConfig => {
  const { config } = presets[name]!;
  return parseStrict(kinds[config.kind ?? 'run'], config, name);
};

/** The runs that a preset makes, each parsed as it will be. */
function runsOf(name: string): { run: Pick<PlannedRun, 'name'>; config: RunConfig }[] {
  const config = parse(name);
  if (config.kind === 'run') return [{ run: { name }, config }];
  const planned = config.kind === 'comparison' ? planRuns(config) : planSweep(config, name);
  return planned.map((run) => ({ run, config: parseStrict(runConfig, run.config, run.name) }));
}

const names = Object.keys(presets);

describe.each(names)('%s', (name) => {
  it('is valid, run by run, and its models take its attention', async () => {
    const runs = runsOf(name);
    for (const { config } of runs) {
      if (config.model.from !== undefined) await inspectModel(config.model.from, config.model.attention);
    }
    const config = parse(name);
    if (config.kind === 'sweep') higherIsBetter(config.metric, runs[0]!.config.tasks, name);
    expect(presets[name]!.about).toMatch(/^[^\n]{10,100}[^.\n]$/);
  });
});

describe('the frontier', () => {
  it('has budgets from 6.25 % to 100 %, with rivals at 25 % and 50 %, and no series twice at one', async () => {
    const budgets = new Map<string, number[]>();
    for (const { series, attention } of (parse('frontier/sotu') as ComparisonConfig).methods) {
      budgets.set(series!, [...(budgets.get(series!) ?? []), (await inspectModel('sotu-mini', attention)).kvBudget]);
    }
    const all = [...budgets.values()].flat();
    expect([Math.min(...all), Math.max(...all)]).toEqual([0.0625, 1]);
    for (const budget of [0.25, 0.5]) expect([...budgets.values()].filter((own) => own.some((each) => Math.abs(each - budget) < 1e-9)).length).toBeGreaterThan(3);
    for (const own of budgets.values()) expect(new Set(own).size).toBe(own.length);
    expect(budgets.get('latent')).toEqual([1 / 2, 1 / 4, 1 / 8, 1 / 16]);
  });
});

describe('the presets of the paper', () => {
  it('are there for its tables and figures, each with a twin', () => {
    const experiments = new Set(names.filter((name) => name.startsWith('laptop/')).map((name) => name.slice('laptop/'.length)));
    expect([...experiments].sort()).toEqual(
      ['budgets', 'continue', 'h2o', 'kv-sizes', 'ratios', 'router-ablation', 'sft', 'throughput', 'token-importance'],
    );
    const papers = names.filter((name) => name.startsWith('paper/')).map((name) => name.slice('paper/'.length));
    for (const experiment of experiments) expect(papers.some((paper) => paper.startsWith(experiment)), experiment).toBe(true);
    for (const paper of papers) expect([...experiments].some((experiment) => paper.startsWith(experiment)), paper).toBe(true);
    for (const table of ['Table 1', 'Table 2', 'Table 3', 'Tables 4, 5, 11', 'Table 6', 'Table 9', 'Table 10', 'Figure 1', 'Figure 3']) {
      for (const place of ['paper/', 'laptop/']) {
        expect(Object.entries(presets).some(([name, { about }]) => name.startsWith(place) && about.startsWith(table)), `${place} ${table}`).toBe(true);
      }
    }
    for (const model of ['opt-125m', 'opt-355m', 'llama-3.2-1b', 'llama-3.2-3b', 'llama-3.1-8b', 'gemma-2-2b']) expect(papers).toContain(`sft-${model}`);
  });

  it('twins need nothing from the hub', () => {
    for (const name of names.filter((each) => each.startsWith('laptop/'))) {
      for (const { config } of runsOf(name)) {
        expect(config.model.from).toBe('sotu-mini');
        expect([config.data.corpus ?? config.data.instructions, ...config.tasks.map(({ data = 'sotu' }) => data)].every((data) => data === 'sotu'), name).toBe(true);
      }
    }
  });

  it.each(halfRatios)('%s keeps half of the cache', async (ratios) => {
    expect((await inspectModel(paperModels['opt-125m'].id, mixsga(ratios).attention)).kvBudget).toBeCloseTo(0.5, 10);
  });

  it.each(Object.entries(budgetRatios))('%s keeps %f of the cache', async (ratios, budget) => {
    expect((await inspectModel(paperModels.tinyllama.id, mixsga(ratios).attention)).kvBudget).toBeCloseTo(budget, 10);
  });

  // Table 9.
  it.each([
    ['opt-125m', 73_728, 36_864, 36_867],
    ['llama-3.2-1b', 65_536, 32_768, 32_772],
    ['gemma-2-2b', 212_992, 106_496, 106_502],
  ] as const)('%s takes the bytes of the paper', async (key, full, gqa, mixed) => {
    const { id } = paperModels[key];
    const bytes = await Promise.all(['mha', 'gqa:2', 'mixsga:3:1:6'].map(async (attention) => (await inspectModel(id, attention)).kvBytesPerToken));
    expect(bytes).toEqual([full, gqa, mixed]);
    const sizes = runsOf('paper/kv-sizes').filter(({ config }) => config.model.from === id);
    expect(sizes.map(({ config }) => config.model.attention)).toEqual(['mha', 'gqa:2', 'mixsga:3:1:6']);
  });

  it('OPT-125m has the parameters of the paper: 118 million with GQA, 125 with mixSGA', async () => {
    const millions = async (attention: string) => Math.round((await inspectModel(paperModels['opt-125m'].id, attention)).parameters / 1e6);
    expect([await millions('gqa:2'), await millions('mixsga:3:1:6')]).toEqual([118, 125]);
  });

  it('steps are of the size that the paper says', () => {
    for (const { config } of runsOf('paper/sft-opt-125m')) expect([config.batchSize * config.accumulate, config.optimizer.learningRate]).toEqual([32, 5e-5]);
    for (const { config } of runsOf('paper/continue-tinyllama')) {
      expect(config.batchSize * config.accumulate * config.sequenceLength).toBe(256 * 1024);
      expect(config.optimizer).toMatchObject({ learningRate: 2e-4, beta1: 0.9, beta2: 0.95, warmupRatio: 0.015, weightDecay: 0.1, clip: 1 });
    }
  });
});

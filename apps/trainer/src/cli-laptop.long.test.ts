// Every experiment of the paper on the shipped model, cut short, from the command line to its report.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { parseReport, type Report, type SweepReport } from '@mixsga/training';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run } from './testing/command-line';

const TOO_LONG = 600_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-long-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs a twin with these settings. @returns what it printed, and the folder that it wrote */
async function twin(name: string, settings: string[]): Promise<{ out: string; read: (file: string) => unknown }> {
  const args = ['train', `laptop/${name}`, '--out', name, ...settings.flatMap((setting) => ['--set', setting])];
  const { code, out, err } = await run(folder, args);
  expect(`${code} ${err}`).toMatch(/^0 /);
  return { out, read: (file) => JSON.parse(readFileSync(join(folder, name, file), 'utf8')) };
}

async function comparison(name: string, settings: string[]): Promise<Report> {
  const { read } = await twin(name, settings);
  return parseReport(read('report.json'));
}

const metric = (report: Report, task: string, name: string) => report.methods.map(({ evaluations }) => evaluations![task]!.metrics[name]!);

/** Settings that make a fine-tuning short. */
const short = ['seeds=[1]', 'tasks.0.limit=12', 'tasks.0.generation.seeds=[10]', 'finalEvaluationWindows=8'];

describe('laptop twins', () => {
  it('sft: responses are scored by ROUGE-L', async () => {
    const report = await comparison('sft', short);
    expect(report.methods.map(({ attention }) => attention)).toEqual(['gqa:2', 'mixsga:1:1:2', 'mixsga:3:1:6']);
    for (const score of metric(report, 'dolly', 'rouge_l')) {
      expect(score).toBeGreaterThan(0.5);
      expect(score).toBeLessThan(100);
    }
  }, TOO_LONG);

  it('router-ablation: without the loss, or at random, both rules agree less', async () => {
    const report = await comparison('router-ablation', [...short, 'tasks.1.maxWindows=8']);
    const [whole, without, random] = metric(report, 'routing', 'agreement') as [number, number, number];
    expect(whole).toBeGreaterThan(without);
    expect(whole).toBeGreaterThan(random);
  }, TOO_LONG);

  it('ratios: all keep half of the cache', async () => {
    const { out, read } = await twin('ratios', ['grid.seed=[1]', ...short.slice(1).map((setting) => `base.${setting}`)]);
    const report = read('sweep.json') as SweepReport;
    expect(report.settings).toHaveLength(6);
    for (const { kvBudget } of report.settings) expect(kvBudget).toBeCloseTo(0.5, 10);
    expect(report.best).not.toBeNull();
    expect(out).toMatch(/^Highest dolly\.rouge_l: /m);
  }, TOO_LONG);

  it('continue: zero-shot choices and pages are measured', async () => {
    const report = await comparison('continue', ['seeds=[1]', 'tokens=61440', 'tasks.0.limit=60', 'tasks.1.limit=1']);
    expect(report.methods.map(({ name }) => name)).toEqual(['GQA 2', 'CLA 2', 'mixSGA 3:1:6']);
    for (const acc of metric(report, 'hellaswag', 'acc_norm')) {
      expect(acc).toBeGreaterThan(0.1);
      expect(acc).toBeLessThan(0.7);
    }
    for (const perplexity of metric(report, 'wikitext', 'word_perplexity')) expect(perplexity).toBeGreaterThan(20);
  }, TOO_LONG);

  it('h2o: GQA loses as the cache shrinks', async () => {
    const report = await comparison('h2o', ['seeds=[1]', 'tokens=61440', 'tasks.0.maxWindows=8', 'tasks.3.maxWindows=8', 'tasks.1.maxWindows=2', 'tasks.2.maxWindows=2']);
    const [most, least] = [metric(report, 'h2o 80 %', 'perplexity'), metric(report, 'h2o 20 %', 'perplexity')];
    expect(most[0]).toBeLessThan(least[0]!);
    expect(most[1]).not.toBe(least[1]);
  }, TOO_LONG);

  it('budgets: from a quarter of the cache to all of it', async () => {
    const report = await comparison('budgets', ['seeds=[1]', 'tokens=61440']);
    const budgets = Object.fromEntries(report.methods.map(({ name, kvBudget }) => [name, kvBudget]));
    expect(budgets).toMatchObject({ MHA: 1, 'GQA 2': 0.5, 'GQA 4': 0.25, 'mixSGA 0:0:1': 0.25, 'mixSGA 1:1:8': 0.35, 'mixSGA 3:1:6': 0.5, 'mixSGA 1:1:0': 0.75 });
    const perplexity = Object.fromEntries(report.methods.map(({ name, perplexity }) => [name, perplexity.decode]));
    expect(perplexity.MHA).toBeLessThan(perplexity['GQA 2']!);
    expect(perplexity['GQA 2']).toBeLessThan(perplexity['GQA 4']!);
  }, TOO_LONG);

  it('kv-sizes: what each method keeps of a token', async () => {
    const { read } = await twin('kv-sizes', []);
    const { settings } = read('sweep.json') as SweepReport;
    expect(settings.map(({ kvBytesPerToken }) => kvBytesPerToken)).toEqual([4096, 2048, 2049]);
  }, TOO_LONG);

  it('throughput: each method decodes', async () => {
    const { out, read } = await twin('throughput', []);
    for (const { metrics } of (read('sweep.json') as SweepReport).settings) expect(metrics['throughput.decode_tokens_per_second']!.mean).toBeGreaterThan(20);
    expect(out).toMatch(/^Highest throughput\.decode_tokens_per_second: /m);
  }, TOO_LONG);

  it('token-importance: some tokens matter more than others', async () => {
    const { read } = await twin('token-importance', ['tasks.0.maxWindows=1']);
    const { metrics } = read('evaluations/token_importance.json') as { metrics: Record<string, number> };
    expect(metrics.top_10_percent_share).toBeGreaterThan(0.1);
  }, TOO_LONG);
});

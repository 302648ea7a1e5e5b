import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { FinishedRun } from '../experiment/run-all';
import type { MetricRow } from '../optimisation/loop';
import type { MethodRun } from './config';
import type { ReportExtras, TrainingCurve } from './extras';
import type { MethodResult, Report } from './schema';

type FinishedMethod = FinishedRun<MethodRun>;

/** The report of a comparison's runs. @param model the base, which no run need have as it is */
export function reportOf(runs: readonly FinishedMethod[], model: Report['model'], seconds: number): Report {
  const { backend, corpus } = runs[0]!.result;
  return {
    schema: 'mixsga/report@2',
    backend,
    corpus,
    model,
    seconds: Math.round(seconds),
    methods: runs.map(methodResult),
  };
}

function methodResult({ method, config, result, evaluations }: FinishedMethod): MethodResult {
  return {
    name: method.name,
    ...(method.series === undefined ? {} : { series: method.series }),
    attention: result.attention,
    ...(method.router ? { router: method.router } : {}),
    ...(method.align === undefined ? {} : { align: method.align }),
    ...(result.agreement === null ? {} : { alpha: config.routerLoss.alpha }),
    learningRate: config.optimizer.learningRate,
    seed: result.seed,
    kvBudget: result.kvBudget,
    kvBytesPerToken: result.kvBytesPerToken,
    tokens: result.tokens,
    perplexity: result.perplexity,
    agreement: result.agreement,
    realisedRatios: result.realisedRatios,
    realisedKvBudget: result.realisedKvBudget,
    realisedKvBytesPerToken: result.realisedKvBytesPerToken,
    evaluations,
  };
}

/** The training curve of every run, and a sentence as the first routed run sees it. */
export async function reportExtras(runs: readonly FinishedMethod[]): Promise<ReportExtras> {
  const curves: TrainingCurve[] = [];
  for (const run of runs) {
    const points = await curveOf(join(run.path, 'metrics.jsonl'));
    if (points.length > 0) curves.push({ name: run.method.name, seed: run.seed, points });
  }
  const routed = runs.find((run) => run.result.routedText !== null);
  return { curves, ...(routed ? { sentence: { method: routed.method.name, ...routed.result.routedText! } } : {}) };
}

/** Validation losses of metrics.jsonl in nats per token under decode routing. */
async function curveOf(path: string): Promise<{ tokens: number; loss: number }[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter(Boolean);
  const rows = lines.map((line) => JSON.parse(line) as MetricRow);
  return rows
    .filter((row) => row.kind === 'validation')
    .map((row) => ({ tokens: row.tokens, loss: Math.log(Number(row.decode)) }));
}

import { type Routing, type Spread, spread } from '@mixsga/evaluators';
import type { MethodResult, Report } from '@mixsga/training';

/** A method over its seeds. */
export interface MethodSummary {
  name: string;
  /** Which methods are one at several KV budgets; null for a method of its own. */
  series: string | null;
  attention: string;
  seeds: number[];
  kvBudget: number;
  kvBytesPerToken: number;
  /** What its tokens take under each routing, the mean over the seeds; as asked for where the method does not route. */
  kvBytesUsed: { decode: number; prefill: number };
  tokens: number;
  perplexity: { decode: Spread; prefill: Spread };
  /** The three below: null where the method does not route. */
  agreement: Spread | null;
  /** Means over the seeds. */
  realisedRatios: { decode: number[]; prefill: number[] } | null;
  realisedKvBudget: { decode: number; prefill: number } | null;
  /** What the tasks found, as `TASK.METRIC`. */
  evaluations: Record<string, Spread>;
  /** Whether heads were aligned before they were grouped, and the kind of its router, where it is not the trained one of the paper. */
  align: boolean;
  router: string | null;
  /** Which part of the paper's method is left out; null for a whole method. */
  ablation: 'random router' | 'no consistency loss' | null;
}

/** The methods of a report in its order, the seeds of each put together. */
export function summarise(report: Report): MethodSummary[] {
  const names = [...new Set(report.methods.map((method) => method.name))];
  const full = fullBytes(report.methods);
  return names.map((name) => summariseMethod(report.methods.filter((method) => method.name === name), full));
}

/** Bytes per token of the unmodified model; an expert index only adds to what a method asks for. */
export function fullBytes(methods: readonly Pick<MethodResult, 'kvBytesPerToken' | 'kvBudget'>[]): number {
  return Math.min(...methods.map(({ kvBytesPerToken, kvBudget }) => kvBytesPerToken / kvBudget));
}

function summariseMethod(runs: MethodResult[], full: number): MethodSummary {
  const { name, series = null, attention, kvBudget, kvBytesPerToken, tokens } = runs[0]!;
  const agreements = runs.flatMap((run) => run.agreement ?? []);
  const routed = runs.flatMap((run) => run.realisedRatios ?? []);
  const budgets = runs.flatMap((run) => run.realisedKvBudget ?? []);
  return {
    name,
    series,
    attention,
    seeds: runs.map((run) => run.seed),
    kvBudget,
    kvBytesPerToken,
    kvBytesUsed: { decode: meanBytes(runs, 'decode', full), prefill: meanBytes(runs, 'prefill', full) },
    tokens,
    perplexity: {
      decode: spread(runs.map((run) => run.perplexity.decode)),
      prefill: spread(runs.map((run) => run.perplexity.prefill)),
    },
    agreement: agreements.length ? spread(agreements) : null,
    realisedRatios: routed.length
      ? { decode: meanOf(routed.map((r) => r.decode)), prefill: meanOf(routed.map((r) => r.prefill)) }
      : null,
    realisedKvBudget: budgets.length
      ? { decode: spread(budgets.map((b) => b.decode)).mean, prefill: spread(budgets.map((b) => b.prefill)).mean }
      : null,
    evaluations: evaluationsOf(runs),
    align: runs[0]!.align ?? false,
    router: runs[0]!.router ?? null,
    ablation: ablationOf(runs[0]!),
  };
}

/** Reports that are older than the count of bytes have the share of the cache, to which the expert index comes. */
function meanBytes(runs: readonly MethodResult[], routing: Routing, full: number): number {
  const bytes = runs.map(({ kvBudget, kvBytesPerToken, realisedKvBudget, realisedKvBytesPerToken }) => {
    if (realisedKvBytesPerToken) return realisedKvBytesPerToken[routing];
    return realisedKvBudget ? kvBytesPerToken + (realisedKvBudget[routing] - kvBudget) * full : kvBytesPerToken;
  });
  return spread(bytes).mean;
}

function evaluationsOf(runs: MethodResult[]): Record<string, Spread> {
  const values = new Map<string, number[]>();
  for (const { evaluations = {} } of runs) {
    for (const [task, { metrics }] of Object.entries(evaluations)) {
      for (const [metric, value] of Object.entries(metrics)) {
        if (value !== null) values.set(`${task}.${metric}`, [...(values.get(`${task}.${metric}`) ?? []), value]);
      }
    }
  }
  return Object.fromEntries([...values].map(([name, all]) => [name, spread(all)]));
}

function ablationOf({ router, alpha, realisedRatios }: MethodResult): MethodSummary['ablation'] {
  if (realisedRatios === null) return null;
  if (router === 'random') return 'random router';
  return alpha === 0 ? 'no consistency loss' : null;
}

function meanOf(rows: readonly number[][]): number[] {
  return rows[0]!.map((_, i) => spread(rows.map((row) => row[i]!)).mean);
}

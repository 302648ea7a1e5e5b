import { spread } from '@mixsga/evaluators';

import { metricsOf } from '../experiment/metrics';
import type { FinishedRun } from '../experiment/run-all';
import type { SweepRun } from './plan';
import type { MetricSpread, SettingResult, SweepReport } from './schema';

/** The report of a sweep's runs: settings that differ in `seed` alone are put together. */
export function collate(
  runs: readonly FinishedRun<SweepRun>[],
  { metric, higherIsBetter, seconds }: Pick<SweepReport, 'metric' | 'higherIsBetter' | 'seconds'>,
): SweepReport {
  const groups = new Map<string, FinishedRun<SweepRun>[]>();
  for (const run of runs) {
    const key = JSON.stringify(run.settings);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const settings = [...groups.values()].map(settingResult);
  return {
    schema: 'mixsga/sweep@1',
    backend: runs[0]!.result.backend,
    corpus: runs[0]!.result.corpus,
    seconds: Math.round(seconds),
    metric,
    higherIsBetter,
    keys: Object.keys(runs[0]!.settings),
    settings,
    best: bestOf(settings, metric, higherIsBetter),
    runs: runs.map((run) => ({
      settings: run.settings,
      seed: run.seed,
      folder: run.folder,
      tokens: run.result.tokens,
      metrics: metricsOf(run),
    })),
  };
}

function settingResult(runs: FinishedRun<SweepRun>[]): SettingResult {
  const { settings, result } = runs[0]!;
  const all = runs.map(metricsOf);
  const names = [...new Set(all.flatMap(Object.keys))];
  const metrics = names.map((name) => [name, spreadOf(all.flatMap((metrics) => metrics[name] ?? []))]);
  return {
    settings,
    seeds: runs.map(({ seed }) => seed),
    parameters: result.model.parameters,
    kvBudget: result.kvBudget,
    kvBytesPerToken: result.kvBytesPerToken,
    metrics: Object.fromEntries(metrics) as Record<string, MetricSpread>,
  };
}

/** @param values one or more, of the seeds */
function spreadOf(values: readonly number[]): MetricSpread {
  const whole = spread(values);
  const squares = values.reduce((sum, value) => sum + (value - whole.mean) ** 2, 0);
  return { ...whole, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null, seeds: values.length };
}

function bestOf(settings: readonly SettingResult[], metric: string, higherIsBetter: boolean): number | null {
  let best: number | null = null;
  for (const [i, { metrics }] of settings.entries()) {
    if (metrics[metric] === undefined) continue;
    const ahead = best === null ? 1 : (metrics[metric].mean - settings[best]!.metrics[metric]!.mean) * (higherIsBetter ? 1 : -1);
    if (ahead > 0) best = i;
  }
  return best;
}

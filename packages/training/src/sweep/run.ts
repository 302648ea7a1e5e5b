import { expectOptions } from '@mixsga/backend';
import { higherIsBetter } from '../experiment/metrics';
import { type ExperimentOptions, runAll } from '../experiment/run-all';
import { runConfig } from '../config/run-config';
import { collate } from './collate';
import type { SweepConfig } from './config';
import { planSweep } from './plan';
import type { SweepReport } from './schema';

/**
 * Runs every combination of a sweep's grid in `folder/runs`, and puts their results together; `writeSweepReport` of @mixsga/report writes
 * them. Values that are added to a grid make new runs; finished ones are kept.
 *
 * @param source what to call the configuration in errors
 * @throws ArgumentError for a grid or a metric that is wrong, before anything is written; else as {@link runAll}
 */
export async function runSweep(
  config: SweepConfig,
  source: string,
  folder: string,
  options: Omit<ExperimentOptions, 'concurrency'>,
): Promise<SweepReport> {
  expectOptions('runSweep', options, { entry: true, resume: true, signal: true });
  const planned = planSweep(config, source);
  const tasks = planned.flatMap((run) => runConfig.parse(run.config).tasks);
  const direction = higherIsBetter(config.metric, tasks, source);
  const { runs, seconds } = await runAll(planned, folder, { ...options, concurrency: config.concurrency });
  return collate(runs, { metric: config.metric, higherIsBetter: direction, seconds });
}

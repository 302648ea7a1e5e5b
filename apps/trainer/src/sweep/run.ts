import { join } from 'node:path';

import { writeFileAtomic } from '@mixsga/models';

import { higherIsBetter } from '../experiment/metrics';
import { type ExperimentOptions, runAll } from '../experiment/run-all';
import { runConfig } from '../training/config';
import { collate } from './collate';
import { planSweep, type SweepConfig } from './config';
import { PLOT, sweepMarkdown, sweepPlot } from './render';
import type { SweepReport } from './schema';

export interface SweepOutcome {
  report: SweepReport;
  /** The files of the report, sweep.json first. */
  files: string[];
}

/**
 * Runs every combination of a sweep's grid in `folder/runs`, and writes sweep.json, sweep.md and the plot into `folder`. Values
 * that are added to a grid make new runs; those that stand there are kept.
 *
 * @param source what to call the configuration in errors
 * @throws ArgumentError for a grid or a metric that is wrong, before anything is written; else as {@link runAll}
 */
export async function runSweep(
  config: SweepConfig,
  source: string,
  folder: string,
  options: Omit<ExperimentOptions, 'concurrency'>,
): Promise<SweepOutcome> {
  const planned = planSweep(config, source);
  const tasks = planned.flatMap((run) => runConfig.parse(run.config).tasks);
  const direction = higherIsBetter(config.metric, tasks, source);
  const { runs, seconds } = await runAll(planned, folder, { ...options, concurrency: config.concurrency });
  const report = collate(runs, { metric: config.metric, higherIsBetter: direction, seconds });
  const plot = await sweepPlot(report);
  const texts: [string, string][] = [
    ['sweep.json', `${JSON.stringify(report, null, 2)}\n`],
    ['sweep.md', sweepMarkdown(report)],
    ...(plot === null ? [] : [[PLOT, plot] as [string, string]]),
  ];
  for (const [name, text] of texts) await writeFileAtomic(join(folder, name), text);
  return { report, files: texts.map(([name]) => join(folder, name)) };
}

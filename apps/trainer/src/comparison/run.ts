import { inspectModel } from '@mixsga/models';

import { type ExperimentOptions, runAll } from '../experiment/run-all';
import { parseReport, type Report, writeReport } from '../report';
import { reportExtras, reportOf } from './collate';
import { type ComparisonConfig, planRuns } from './config';

export interface ComparisonOutcome {
  report: Report;
  /** The files of the report, report.json first. */
  files: string[];
}

/**
 * Runs every method with every seed in `folder/runs`, and writes the report into `folder`.
 *
 * @throws as {@link runAll}
 */
export async function runComparison(
  config: ComparisonConfig,
  folder: string,
  options: Omit<ExperimentOptions, 'concurrency'>,
): Promise<ComparisonOutcome> {
  const { parameters, layers, heads, hiddenSize: hidden } = await inspectModel(config.from);
  const { runs, seconds } = await runAll(planRuns(config), folder, { ...options, concurrency: config.concurrency });
  const report = parseReport(reportOf(runs, { parameters, layers, heads, hidden }, seconds));
  return { report, files: await writeReport(folder, report, await reportExtras(runs)) };
}

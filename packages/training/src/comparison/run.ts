import { expectOptions } from '@mixsga/backend';
import { inspectModel } from '@mixsga/models';

import { type ExperimentOptions, runAll } from '../experiment/run-all';
import { reportExtras, reportOf } from './collate';
import { type ComparisonConfig, planRuns } from './config';
import type { ReportExtras } from './extras';
import { parseReport, type Report } from './schema';

export interface ComparisonOutcome {
  report: Report;
  /** What its plots need besides. */
  extras: ReportExtras;
}

/**
 * Runs every method with every seed in `folder/runs`, and puts their results together; `writeReport` of @mixsga/report writes them.
 *
 * @throws as {@link runAll}
 */
export async function runComparison(
  config: ComparisonConfig,
  folder: string,
  options: Omit<ExperimentOptions, 'concurrency'>,
): Promise<ComparisonOutcome> {
  expectOptions('runComparison', options, { entry: true, resume: true, signal: true });
  const { parameters, layers, heads, hiddenSize: hidden } = await inspectModel(config.from);
  const { runs, seconds } = await runAll(planRuns(config), folder, { ...options, concurrency: config.concurrency });
  const report = parseReport(reportOf(runs, { parameters, layers, heads, hidden }, seconds));
  return { report, extras: await reportExtras(runs) };
}

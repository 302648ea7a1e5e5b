import { expectOptions } from '@mixsga/backend';
import { join } from 'node:path';

import { writeFileAtomic } from '@mixsga/models';
import { parseReport, type Report, type ReportExtras } from '@mixsga/training';

import { budgetPlot } from './plots/budget-plot';
import { curvesPlot } from './plots/curves-plot';
import { PLOTS, reportMarkdown } from './markdown';
import { sentenceStrip } from './plots/sentence-strip';
import { summarise } from './summary';

/**
 * Writes report.json, report.md and the plots into a folder, each file whole or not at all.
 *
 * @returns the paths written, report.json first
 * @throws FileError for a report against its schema (before anything is written), or a folder that cannot be written
 */
export async function writeReport(directory: string, report: Report, extras: ReportExtras = {}): Promise<string[]> {
  expectOptions('writeReport', extras, { curves: true, sentence: true });
  const checked = parseReport(report, join(directory, 'report.json'));
  const files: [string, string][] = [
    ['report.json', `${JSON.stringify(checked, null, 2)}\n`],
    ['report.md', reportMarkdown(checked, extras)],
    [PLOTS.budget, await budgetPlot(checked)],
  ];
  if (extras.curves?.length) {
    files.push([PLOTS.curves, await curvesPlot(extras.curves, summarise(checked))]);
  }
  if (extras.sentence) files.push([PLOTS.sentence, sentenceStrip(extras.sentence)]);
  const paths = files.map(([name]) => join(directory, name));
  for (const [i, [, text]] of files.entries()) await writeFileAtomic(paths[i]!, text);
  return paths;
}

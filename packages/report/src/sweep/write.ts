import { join } from 'node:path';

import { writeFileAtomic } from '@mixsga/models';
import type { SweepReport } from '@mixsga/training';

import { PLOT, sweepMarkdown, sweepPlot } from './render';

/**
 * Writes sweep.json, sweep.md and the plot into a folder, each file whole or not at all.
 *
 * @returns the paths written, sweep.json first
 * @throws FileError for a folder that cannot be written
 */
export async function writeSweepReport(folder: string, report: SweepReport): Promise<string[]> {
  const plot = await sweepPlot(report);
  const texts: [string, string][] = [
    ['sweep.json', `${JSON.stringify(report, null, 2)}\n`],
    ['sweep.md', sweepMarkdown(report)],
    ...(plot === null ? [] : [[PLOT, plot] as [string, string]]),
  ];
  for (const [name, text] of texts) await writeFileAtomic(join(folder, name), text);
  return texts.map(([name]) => join(folder, name));
}

import type { Command } from 'commander';

import { withOutputFolder } from '../output-folder/lock';
import { collect } from '../report/results/collect';
import { writeResultsReport } from '../report/results/write';
import { print } from './options';

export function registerReport(program: Command): void {
  program
    .command('report')
    .description('Put results together: tables and plots from the files of eval --out, of lm-evaluation-harness, of comparisons and of sweeps.')
    .argument('<folders...>', 'where results_….json, report.json and sweep.json are looked for, also below')
    .option('--out <folder>', 'where report.md and the plots go', 'mixsga-report')
    .action(async (folders: string[], { out }: { out: string }) => {
      const [report, ...plots] = await withOutputFolder(out, async () => writeResultsReport(out, await collect(folders)));
      print(`report: ${report}, with ${plots.length} plot${plots.length === 1 ? '' : 's'}`);
    });
}

import { collect, writeResultsReport } from '@mixsga/report';
import { withOutputFolder } from '@mixsga/training/node';
import type { Command } from 'commander';

import { print } from './options';

export function registerReport(program: Command): void {
  program
    .command('report')
    .description('Put results together: tables and plots from the files of eval --out, of lm-evaluation-harness, of comparisons and of sweeps.')
    .argument('<paths...>', 'files, and folders where results, comparisons and sweeps (JSON) are looked for, also below; what cannot be used is named and left out')
    .option('--out <folder>', 'where report.md and the plots go', 'mixsga-report')
    .action(async (paths: string[], { out }: { out: string }) => {
      // The folder first: what cannot be written is said before anything is read.
      const { collected, written } = await withOutputFolder(out, async () => {
        const collected = await collect(paths);
        for (const { path, content } of collected.leftOut) process.stderr.write(`mixsga: left out: ${path}: ${content}\n`);
        return { collected, written: await writeResultsReport(out, collected) };
      });
      const [report, ...plots] = written;
      const { results, comparisons, sweeps, leftOut } = collected;
      const files = results.length + comparisons.length + sweeps.length;
      const left = leftOut.length > 0 ? `; ${leftOut.length} left out` : '';
      print(`report: ${report}, with ${plots.length} plot${plots.length === 1 ? '' : 's'}, of ${files} file${files === 1 ? '' : 's'}${left}`);
    });
}

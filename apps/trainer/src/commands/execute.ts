import { bestLine, formatEvaluations, formatTable, judge, summarise, sweepTable, writeReport, writeSweepReport } from '@mixsga/report';
import {
  type Evaluated,
  evaluateRun,
  Interrupted,
  ORPHAN_PATIENCE,
  parentReporter,
  readEvaluations,
  runComparison,
  type RunResult,
  runSweep,
  runTraining,
  terminalReporter,
  withInterruption,
  withOutputFolder,
} from '@mixsga/training/node';
import { isChild } from '@mixsga/training/parent';

import type { LoadedConfig } from './load-config';
import { print } from './options';

export interface Execution {
  folder: string;
  /** Go on with what the folder holds. */
  resume: boolean;
  /** The command that continues after a Ctrl-C. */
  again: string;
}

/**
 * Trains, compares or sweeps, whichever the configuration asks for, and prints the result. No other process writes into the folder
 * meanwhile; a run has a folder of its own in that of its experiment.
 */
export async function execute({ config, source }: LoadedConfig, { folder, resume, again }: Execution): Promise<void> {
  const reporter = isChild ? parentReporter() : terminalReporter();
  const patience = isChild ? ORPHAN_PATIENCE : 0;
  const perform = async (signal: AbortSignal): Promise<void> => {
    const experiment = { entry: process.argv[1]!, resume, signal };
    if (config.kind === 'run') {
      const result = await runTraining(config, folder, { resume, signal, reporter });
      await evaluateRun(config, folder, { signal, reporter });
      reporter.done();
      print([formatRun(result, folder), ...formatTasks(await readEvaluations(folder, config.tasks))].join('\n'));
    } else if (config.kind === 'comparison') {
      const { report, extras } = await runComparison(config, folder, experiment);
      const files = await writeReport(folder, report, extras);
      const { sentence, remarks } = judge(summarise(report));
      const tables = [formatTable(report), formatEvaluations(report)].filter((table) => table !== null);
      print([...tables, [sentence.replaceAll('**', ''), ...remarks].join('\n'), reportLine(files)].join('\n\n'));
    } else {
      const report = await runSweep(config, source, folder, experiment);
      const files = await writeSweepReport(folder, report);
      print([sweepTable(report), bestLine(report), reportLine(files)].join('\n\n'));
    }
  };
  try {
    await withInterruption((signal) => withOutputFolder(folder, () => perform(signal), { patience, signal }));
  } catch (error) {
    reporter.done();
    if (error instanceof Interrupted) throw new Interrupted(`${error.message}; continue with: ${again}`);
    throw error;
  }
}

function reportLine(files: readonly string[]): string {
  return `report: ${files.find((file) => file.endsWith('.md')) ?? files[0]!}`;
}

function formatTasks(evaluations: Record<string, Evaluated>): string[] {
  return Object.entries(evaluations).map(([name, { metrics }]) => `${name}: ${JSON.stringify(metrics)}`);
}

function formatRun(result: RunResult, folder: string): string {
  const { perplexity } = result;
  const routed = result.agreement === null ? '' : `, agreement ${(100 * result.agreement).toFixed(1)} %`;
  return (
    `${folder}: ${result.attention}, ${result.tokens} tokens; validation perplexity ${perplexity.decode.toFixed(3)} under decode ` +
    `routing, ${perplexity.prefill.toFixed(3)} under prefill${routed}`
  );
}

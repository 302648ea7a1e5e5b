import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { inspectModel, loadTokenizer, resolveModel } from '@mixsga/models';

import { loadCorpus } from '../data/corpus';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import { parseReport, type Report, writeReport } from '../report';
import { runConfig } from '../training/config';
import { writeFileAtomic } from '../training/files';
import { formatDuration, ProgressLine, type ProgressState } from '../training/progress';
import type { ChildMessage } from '../training/reporter';
import { checkRunFolder, claimRunFolder, readJsonIfThere } from '../training/run-folder';
import type { RunResult } from '../training/run';
import { type FinishedRun, reportExtras, reportOf } from './collate';
import { type ComparisonConfig, type PlannedRun, planRuns } from './config';
import { runPool } from './pool';

export interface ComparisonOptions {
  /** Path of the command line's entry, which the runs are started with. */
  entry: string;
  /** Go on with a comparison that the folder holds. */
  resume: boolean;
  signal: AbortSignal;
}

export interface ComparisonOutcome {
  report: Report;
  /** The files of the report, report.json first. */
  files: string[];
}

/**
 * Runs every method with every seed, each in a process of its own in `folder/runs`, and writes the report into
 * `folder`. Runs that are finished are kept, and interrupted ones go on from their checkpoint.
 *
 * @throws MixsgaError when a run fails: the others are stopped with a checkpoint; Interrupted when the signal aborted
 */
export async function runComparison(
  config: ComparisonConfig,
  folder: string,
  options: ComparisonOptions,
): Promise<ComparisonOutcome> {
  const start = performance.now();
  const runs = planRuns(config);
  const folderOf = (run: PlannedRun): string => join(folder, 'runs', run.folder);
  await prepare(config);
  for (const run of runs) await checkRunFolder(folderOf(run), runConfig.parse(run.config), options.resume);
  const unfinished: PlannedRun[] = [];
  for (const run of runs) {
    await claimRunFolder(folderOf(run), runConfig.parse(run.config));
    if ((await readJsonIfThere(join(folderOf(run), 'result.json'))) === undefined) unfinished.push(run);
  }
  const before = await secondsBefore(folder);
  const seconds = (): number => before + (performance.now() - start) / 1000;

  const display = new ComparisonProgress(runs.length, runs.length - unfinished.length);
  const jobs = unfinished.map((run) => ({
    name: `${run.method.name}, seed ${run.seed}`,
    args: ['train', join(folderOf(run), 'run.json'), '--out', folderOf(run), '--resume'],
  }));
  try {
    await runPool(jobs, {
      entry: options.entry,
      concurrency: config.concurrency ?? Math.min(2, availableParallelism()),
      signal: options.signal,
      onMessage: (job, message) => display.update(jobs[job]!.name, message),
      onFinished: async (job) => {
        display.finished(jobs[job]!.name, await readResult(folderOf(unfinished[job]!)));
      },
    });
  } finally {
    display.clear();
    if (unfinished.length > 0) await writeFileAtomic(join(folder, 'seconds.json'), `${JSON.stringify(seconds())}\n`);
  }
  const finished: FinishedRun[] = [];
  for (const run of runs) finished.push({ ...run, path: folderOf(run), result: await readResult(folderOf(run)) });
  const report = parseReport(reportOf(finished, unfinished.length > 0 ? seconds() : before));
  return { report, files: await writeReport(folder, report, await reportExtras(finished)) };
}

/** Finds what is wrong with the settings before anything is written, and leaves the token ids in the cache for the runs. */
async function prepare({ from, methods, data }: ComparisonConfig): Promise<void> {
  for (const { attention } of methods) await inspectModel(from, attention);
  const { directory } = await resolveModel(from);
  await tokenizeCorpus(await loadCorpus(data.corpus), await loadTokenizer(directory));
}

/** Wall-clock seconds that earlier parts of this comparison took. */
async function secondsBefore(folder: string): Promise<number> {
  const seconds = await readJsonIfThere(join(folder, 'seconds.json'));
  return typeof seconds === 'number' ? seconds : 0;
}

async function readResult(runFolder: string): Promise<RunResult> {
  return (await readJsonIfThere(join(runFolder, 'result.json'))) as RunResult;
}

/** One progress line for all the runs of a comparison. */
class ComparisonProgress {
  private readonly line = new ProgressLine();
  private readonly running = new Map<string, ProgressState>();

  constructor(
    private readonly total: number,
    private done: number,
  ) {
    if (done > 0) this.line.log(`${done} of ${total} runs are finished already`);
  }

  update(name: string, message: ChildMessage): void {
    if ('message' in message) return;
    this.running.set(name, message.progress);
    const active = [...this.running.values()];
    const speed = active.reduce((sum, { tokensPerSecond }) => sum + tokensPerSecond, 0);
    const runs = [...this.running].map(([run, { step, totalSteps }]) => `${run} ${Math.floor((100 * step) / totalSteps)} %`);
    this.line.show(
      `${this.done}/${this.total} done  ${runs.join('  ')}  ${Math.round(speed)} tokens/s  ` +
        `${formatDuration(this.secondsLeft(active, message.progress.totalSteps))} left`,
    );
  }

  /** At the speed of the runs that go on now; every run has as many steps. */
  private secondsLeft(active: readonly ProgressState[], stepsOfRun: number): number {
    const waiting = this.total - this.done - active.length;
    const steps = active.reduce((sum, { step, totalSteps }) => sum + totalSteps - step, waiting * stepsOfRun);
    const speed = active.reduce((sum, run) => sum + run.stepsPerSecond, 0);
    return speed > 0 ? steps / speed : 0;
  }

  finished(name: string, result: RunResult): void {
    this.running.delete(name);
    this.done += 1;
    this.line.log(
      `${name}: perplexity ${result.perplexity.decode.toFixed(2)} under decode routing, ` +
        `${result.perplexity.prefill.toFixed(2)} under prefill (${this.done}/${this.total})`,
    );
  }

  clear(): void {
    this.line.clear();
  }
}

import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { inspectModel, loadTokenizer, resolveModel, writeFileAtomic } from '@mixsga/models';

import { ORPHAN_PATIENCE, withOutputFolder } from '../output-folder/lock';
import { type Evaluated, isEvaluated, readEvaluations } from '../run/evaluate-run';
import { type RunConfig, runConfig, type RunConfigInput } from '../config/run-config';
import { checkRunFolder, claimRunFolder, readJsonIfThere } from '../run/run-folder';
import { ProgressLine } from '../progress/progress-line';
import type { RunResult } from '../run/run';
import { findTrainingData } from '../run/training-data';
import { runPool } from '../process/pool';
import { ExperimentProgress } from './progress';

/** A training run of an experiment: of a comparison or a sweep. */
export interface PlannedRun {
  /** What to call it in progress and errors, such as `GQA 2, seed 1`. */
  name: string;
  /** Folder name inside the experiment's `runs` folder. */
  folder: string;
  config: RunConfigInput;
}

/** A run with what it measured. */
export type FinishedRun<Run extends PlannedRun = PlannedRun> = Omit<Run, 'config'> & {
  config: RunConfig;
  /** Its folder. */
  path: string;
  result: RunResult;
  /** What its tasks found, by their names. */
  evaluations: Record<string, Evaluated>;
};

export interface ExperimentOptions {
  /** Path of the command line's entry, which the runs are started with. */
  entry: string;
  /** Go on with an experiment that the folder holds. */
  resume: boolean;
  /** Runs at a time. Default: 2, or 1 on a single core. */
  concurrency?: number;
  signal: AbortSignal;
}

/**
 * Trains and evaluates every run, each in a process of its own in `folder/runs`. Runs that are finished are kept, and
 * interrupted ones go on from their checkpoint or their last sample.
 *
 * @returns the runs in order, and the wall-clock seconds that they took, earlier parts of the experiment included
 * @throws MixsgaError when a run fails: the others are stopped with a checkpoint; Interrupted when the signal aborted
 */
export async function runAll<Run extends PlannedRun>(
  planned: readonly Run[],
  folder: string,
  { entry, resume, signal, concurrency = Math.min(2, availableParallelism()) }: ExperimentOptions,
): Promise<{ runs: FinishedRun<Run>[]; seconds: number }> {
  const start = performance.now();
  const runs = planned.map((run) => ({ ...run, config: runConfig.parse(run.config), path: join(folder, 'runs', run.folder) }));
  await prepare(runs.map(({ config }) => config), signal);
  for (const { path, config } of runs) await checkRunFolder(path, config, resume);
  const unfinished: typeof runs = [];
  for (const run of runs) {
    await withOutputFolder(run.path, () => claimRunFolder(run.path, run.config), { patience: ORPHAN_PATIENCE, signal });
    if (!(await isFinished(run.path, run.config))) unfinished.push(run);
  }
  const before = await secondsBefore(folder);
  const seconds = (): number => before + (unfinished.length > 0 ? (performance.now() - start) / 1000 : 0);

  const display = new ExperimentProgress(runs.length, runs.length - unfinished.length);
  const jobs = unfinished.map(({ name, path }) => ({ name, args: ['train', join(path, 'run.json'), '--out', path, '--resume'] }));
  try {
    await runPool(jobs, {
      entry,
      concurrency,
      signal,
      onMessage: (job, message) => display.update(jobs[job]!.name, message),
      onFinished: async (job) => display.finished(jobs[job]!.name, await readResult(unfinished[job]!.path)),
    });
  } finally {
    display.clear();
    if (unfinished.length > 0) await writeFileAtomic(join(folder, 'seconds.json'), `${JSON.stringify(seconds())}\n`);
  }
  const finished: FinishedRun<Run>[] = [];
  for (const run of runs) {
    finished.push({ ...run, result: await readResult(run.path), evaluations: await readEvaluations(run.path, run.config.tasks) });
  }
  return { runs: finished, seconds: seconds() };
}

/** Finds what is wrong with models and data before anything is written, and leaves in the caches what the runs share. */
async function prepare(configs: readonly RunConfig[], signal: AbortSignal): Promise<void> {
  const line = new ProgressLine();
  const reporter = { activity: (text: string) => line.show(text), message: (text: string) => line.log(text) };
  const done = new Set<string>();
  const once = async (key: string, body: () => Promise<unknown>): Promise<void> => {
    if (!done.has(key)) await body();
    done.add(key);
  };
  for (const config of configs) {
    const { from, attention } = config.model;
    if (from === undefined) continue;
    await once(`${from} as ${attention}`, () => inspectModel(from, attention));
    await once(`${JSON.stringify(config.data)} for ${from}`, async () => {
      const found = await findTrainingData(config, { signal, reporter });
      if (config.data.instructions !== undefined) return;
      const tokenizer = await loadTokenizer((await resolveModel(from)).directory);
      (await found.encode(tokenizer, undefined)).close();
    });
  }
  line.clear();
}

async function isFinished(path: string, config: RunConfig): Promise<boolean> {
  return (await readJsonIfThere(join(path, 'result.json'))) !== undefined && (await isEvaluated(path, config.tasks));
}

async function secondsBefore(folder: string): Promise<number> {
  const seconds = await readJsonIfThere(join(folder, 'seconds.json'));
  return typeof seconds === 'number' ? seconds : 0;
}

async function readResult(path: string): Promise<RunResult> {
  return (await readJsonIfThere(join(path, 'result.json'))) as RunResult;
}

import { join } from 'node:path';

import { expectOptions, type KvType } from '@mixsga/backend';
import { evaluatorNamed, type Routing } from '@mixsga/evaluators';
import { cacheOfFields } from '@mixsga/kv-cache';
import { writeFileAtomic } from '@mixsga/models';

import { evaluateModel, type EvaluationTask } from '../evaluation/evaluate-model';
import { UNFINISHED, writeResults } from '../evaluation/write-results';
import type { RunConfig } from '../config/run-config';
import { Interrupted } from '../process/interruption';
import type { Reporter } from '../progress/reporter';
import { readJsonIfThere } from './run-folder';
import { type Task, taskName } from '../config/tasks';

/** What a task found. */
export interface Evaluated {
  /** The evaluator. */
  task: string;
  routing: Routing;
  metrics: Record<string, number | null>;
}

/** What a file of `evaluations/` holds. */
interface EvaluationFile extends Evaluated {
  /** The settings that it was measured with. */
  options: Task;
  details: unknown;
}

/**
 * Measures the tasks of a finished run on its model. What a task found stands in `evaluations/NAME.json` of the run's folder, and
 * is not measured again as long as the task's settings stay; beside it are results and samples as `mixsga eval --out` writes them. A run
 * that was stopped resumes from its last sample.
 *
 * @throws Interrupted when the signal aborted; what the evaluators and their data throw
 */
export async function evaluateRun(
  config: RunConfig,
  folder: string,
  options: { readonly signal: AbortSignal; readonly reporter: Reporter },
): Promise<void> {
  expectOptions('evaluateRun', options, { signal: true, reporter: true });
  const { signal, reporter } = options;
  const left: Task[] = [];
  for (const task of config.tasks) if ((await earlier(folder, task)) === undefined) left.push(task);
  // The model is opened once for each element type of its cache.
  for (const kv of new Set(left.map((task) => task.kv))) {
    await evaluateTasks(left.filter((task) => task.kv === kv), kv, config, folder, { signal, reporter });
  }
}

async function evaluateTasks(
  left: readonly Task[],
  kv: KvType | undefined,
  config: RunConfig,
  folder: string,
  options: { readonly signal: AbortSignal; readonly reporter: Reporter },
): Promise<void> {
  expectOptions('evaluateRun', options, { signal: true, reporter: true });
  const { signal, reporter } = options;
  const startedAt = new Date();
  const results = join(folder, 'evaluations');
  const measured = await evaluateModel(folder, left.map((task) => evaluationOf(task, config, folder)), {
    backend: config.backend,
    kv,
    unfinished: { folder: join(results, UNFINISHED), resume: true },
    signal,
    line: { show: (text) => reporter.activity(text), log: (text) => reporter.message(text) },
  }).catch((error: unknown) => {
    if (signal.aborted) throw new Interrupted('stopped while evaluating, with the samples kept');
    throw error;
  });
  await writeResults(results, measured, { startedAt, seconds: (Date.now() - startedAt.getTime()) / 1000 });
  for (const [i, { metrics, details }] of measured.tasks.entries()) {
    const options = left[i]!;
    const file: EvaluationFile = { task: options.task, routing: options.routing, metrics, options, details };
    await writeFileAtomic(pathOf(folder, options), `${JSON.stringify(file, null, 2)}\n`);
  }
}

/** A task as `mixsga eval` would have it; texts are the run's unless it says otherwise, and so are the rows of `run`. */
function evaluationOf({ task, name, data, files, split = 'validation', kv = 'f32', eviction, kvBudget, kvPolicy, ...options }: Task, config: RunConfig, folder: string): EvaluationTask {
  const { reads, evicts } = evaluatorNamed(task);
  const text = reads === 'tokens' ? config.data.corpus : undefined;
  const own = data === 'run' ? join(folder, `${split}.jsonl`) : data;
  const cache = cacheOfFields({ eviction, kvBudget, kvPolicy }) ?? (kv !== 'f32' && evicts && options.routing === 'decode' ? 'none' : undefined);
  return { task, name, data: own ?? text, files, split, options: { ...(cache !== undefined && { cache }), ...options } as EvaluationTask['options'] };
}

/** Whether every task of a run has been measured. */
export async function isEvaluated(folder: string, tasks: readonly Task[]): Promise<boolean> {
  for (const task of tasks) if ((await earlier(folder, task)) === undefined) return false;
  return true;
}

/** What the tasks of a run found, by their names; a task that was not measured is not there. */
export async function readEvaluations(folder: string, tasks: readonly Task[]): Promise<Record<string, Evaluated>> {
  const results: Record<string, Evaluated> = {};
  for (const options of tasks) {
    const file = await earlier(folder, options);
    if (file) results[taskName(options)] = { task: file.task, routing: file.routing, metrics: file.metrics };
  }
  return results;
}

/** What was measured with these very settings, or undefined. */
async function earlier(folder: string, task: Task): Promise<EvaluationFile | undefined> {
  const file = (await readJsonIfThere(pathOf(folder, task))) as EvaluationFile | undefined;
  return file && JSON.stringify(file.options) === JSON.stringify(task) ? file : undefined;
}

function pathOf(folder: string, task: Task): string {
  return join(folder, 'evaluations', `${taskName(task)}.json`);
}

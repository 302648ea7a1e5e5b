import { join } from 'node:path';

import { startBackend } from '@mixsga/backend';
import { evaluatorNamed, runEvaluator, type RunOptions } from '@mixsga/evaluators';
import { fromPretrained, languageModel } from '@mixsga/models';

import { loadCorpus } from '../data/corpus';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import type { RunConfig } from './config';
import { writeFileAtomic } from './files';
import { Interrupted } from './interruption';
import type { Reporter } from './reporter';
import { readJsonIfThere } from './run-folder';
import { type Task, taskName } from './tasks';

/** What a task found. */
export interface Evaluated {
  /** The evaluator. */
  task: string;
  routing: 'decode' | 'prefill';
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
 * is not measured again as long as the task's settings stay.
 *
 * @throws Interrupted when the signal aborted; what the evaluators and their data throw
 */
export async function evaluateRun(
  config: RunConfig,
  folder: string,
  { signal, reporter }: { signal: AbortSignal; reporter: Reporter },
): Promise<void> {
  const left: Task[] = [];
  for (const task of config.tasks) if ((await earlier(folder, task)) === undefined) left.push(task);
  if (left.length === 0) return;
  await startBackend(config.backend);
  const pretrained = await fromPretrained(folder);
  try {
    const model = languageModel(pretrained);
    for (const options of left) {
      const { task, data = config.data.corpus, split = 'validation', name: _, ...rest } = options;
      const tokens = (await tokenizeCorpus(await loadCorpus(data), pretrained.tokenizer))[split];
      const { metrics, details } = await runEvaluator(evaluatorNamed(task), model, { name: data, tokens }, {
        ...rest,
        signal,
        onProgress: ({ done, of }) => reporter.activity(`${taskName(options)} ${done}/${of}`),
      } as RunOptions<object>);
      const file: EvaluationFile = { task, routing: options.routing, metrics, options, details };
      await writeFileAtomic(pathOf(folder, options), `${JSON.stringify(file, null, 2)}\n`);
    }
  } catch (error) {
    if (signal.aborted) throw new Interrupted('stopped while evaluating');
    throw error;
  } finally {
    pretrained.decoder.dispose();
  }
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

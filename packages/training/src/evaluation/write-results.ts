import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

import { harnessResults, type MeasuredModel, resultsFileName, type RunTime, samplesFileName } from '@mixsga/evaluators';
import { writeFileAtomic } from '@mixsga/models';

import { sampleFilePath } from './sample-file';

/** Folder of the samples of unfinished tasks, below that of the results. */
export const UNFINISHED = 'unfinished';

/**
 * Writes what was measured as lm-evaluation-harness does, `results_TIME.json` and `samples_TASK_TIME.jsonl`, each file whole or not
 * at all, and removes the samples that were kept of unfinished tasks.
 *
 * @returns the path of the results
 * @throws FileError when the folder cannot be written
 */
export async function writeResults(folder: string, measured: MeasuredModel, time: RunTime): Promise<string> {
  const results = await harnessResults(measured, time);
  for (const { name, samples } of measured.tasks) {
    const lines = samples.map((sample) => `${JSON.stringify(sample)}\n`);
    await writeFileAtomic(join(folder, samplesFileName(name, time.startedAt)), lines.join(''));
  }
  const path = join(folder, resultsFileName(time.startedAt));
  await writeFileAtomic(path, `${JSON.stringify(results, null, 2)}\n`);
  const unfinished = join(folder, UNFINISHED);
  for (const { name } of measured.tasks) await rm(sampleFilePath(unfinished, name), { force: true });
  await rmdir(unfinished).catch(() => undefined); // other tasks may have samples there
  return path;
}

import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { ArgumentError, FileError } from '@mixsga/backend';
import { orFileError, writeFileAtomic } from '@mixsga/models';

import type { RunConfig } from '../config/run-config';

const RUN_FILE = 'run.json';

/** Settings that may differ when a run is resumed: they change what is recorded and kept, not what is learned. */
const FREE = new Set(['checkpointEvery', 'evaluateEvery', 'evaluationWindows', 'finalEvaluationWindows', 'tasks']);

/**
 * Checks that a folder can be the folder of a run: it holds no run yet, or this one and `resume` is true. Writes nothing.
 *
 * @throws ArgumentError when the folder holds a run and `resume` is false, or something else than this run
 */
export async function checkRunFolder(folder: string, config: RunConfig, resume: boolean): Promise<void> {
  const earlier = await readJsonIfThere(join(folder, RUN_FILE));
  if (earlier === undefined) {
    const entries = await readdir(folder).catch((): string[] => []);
    if (entries.includes('config.json')) throw new ArgumentError(`${folder}: holds a model already; give another --out`);
    return;
  }
  if (!resume) throw new ArgumentError(`${folder}: holds a run already; add --resume to continue it, or give another --out`);
  const difference = firstDifference(earlier, JSON.parse(JSON.stringify(config)), '');
  if (difference) {
    throw new ArgumentError(`${folder}: holds a run of other settings: ${difference}; give the same, or another --out`);
  }
}

/** Makes a folder, which {@link checkRunFolder} accepted, the folder of a run: writes its configuration as run.json. */
export async function claimRunFolder(folder: string, config: RunConfig): Promise<void> {
  await writeFileAtomic(join(folder, RUN_FILE), `${JSON.stringify(config, null, 2)}\n`);
}

/** @throws FileError when the file is there and is not JSON. */
export async function readJsonIfThere(path: string): Promise<unknown> {
  return orFileError(path, 'read', async () => {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new FileError(path, `expected JSON: ${(error as Error).message}`);
    }
  });
}

/** Where two values of plain data differ first, in words; undefined where they are equal. */
export function firstDifference(before: unknown, now: unknown, path: string): string | undefined {
  if (isObject(before) && isObject(now)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
      if (path === '' && FREE.has(key)) continue;
      const difference = firstDifference(before[key], now[key], path ? `${path}.${key}` : key);
      if (difference) return difference;
    }
    return undefined;
  }
  if (before === now) return undefined;
  return `${path} was ${JSON.stringify(before) ?? 'not set'}, is now ${JSON.stringify(now) ?? 'not set'}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

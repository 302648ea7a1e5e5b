import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import { type ParsedResults, parseHarnessResults } from '@mixsga/evaluators';

import { parseSweep, type SweepReport } from '../../sweep/schema';
import { parseReport, type Report } from '../schema';

/** A file that was found, and what it holds. */
interface Found<T> {
  readonly path: string;
  readonly content: T;
}

/** What some folders hold, each list in order of path. */
export interface Collected {
  readonly results: readonly Found<ParsedResults>[];
  readonly comparisons: readonly Found<Report>[];
  readonly sweeps: readonly Found<SweepReport>[];
}

/**
 * Finds and reads the results files (`results_….json`, ours and lm-evaluation-harness's own), comparisons (`report.json`) and
 * sweeps (`sweep.json`) anywhere below some folders.
 *
 * @throws FileError for a folder that cannot be read, folders without any such file, and a file that is broken or of another version
 */
export async function collect(folders: readonly string[]): Promise<Collected> {
  const paths = new Set<string>();
  for (const folder of folders) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      throw new FileError(folder, error.code === 'ENOENT' ? 'no such folder' : error.code === 'ENOTDIR' ? 'expected a folder, got a file' : error.message);
    });
    for (const entry of entries) if (entry.isFile()) paths.add(join(entry.parentPath, entry.name));
  }
  const read = async <T>(name: RegExp, parse: (value: unknown, path: string) => T): Promise<Found<T>[]> => {
    const found: Found<T>[] = [];
    for (const path of [...paths].filter((path) => name.test(path)).sort()) found.push({ path, content: parse(await readJson(path), path) });
    return found;
  };
  const collected = {
    results: await read(/(^|[\\/])results_[^\\/]*\.json$/, parseHarnessResults),
    comparisons: await read(/(^|[\\/])report\.json$/, parseReport),
    sweeps: await read(/(^|[\\/])sweep\.json$/, parseSweep),
  };
  if (Object.values(collected).every(({ length }) => length === 0)) {
    throw new FileError(folders.join(', '), 'expected results_….json, report.json or sweep.json in it or below, found none; mixsga eval --out writes results');
  }
  return collected;
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    throw new FileError(path, error instanceof SyntaxError ? `expected JSON: ${error.message}` : (error as Error).message, { cause: error });
  }
}

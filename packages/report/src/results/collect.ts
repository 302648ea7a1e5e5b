import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { FileError, MixsgaError } from '@mixsga/backend';
import { type ParsedResults, parseHarnessResults } from '@mixsga/evaluators';
import { parseReport, parseSweep, type Report, type SweepReport } from '@mixsga/training';

import type { Collected, Found } from './collected';
import { checkDetails } from './measurement';

/** Bytes of a file that are read at most. */
const LARGEST = 256 * 2 ** 20;
const EXPECTED = 'results of mixsga eval --out or of lm-evaluation-harness, a comparison (report.json) or a sweep (sweep.json)';
/** The files of a run and of a model: the JSON beside and below them is theirs. */
const OWNERS = ['run.json', 'config.json'];
/** Names of what is read. */
const NAMES = /^(results_.*|report|sweep)\.json$/;
/** Written beside the report of a comparison or a sweep. */
const COMPANIONS = ['seconds.json'];

/**
 * Finds and reads the results files (ours and lm-evaluation-harness's own), comparisons and sweeps among some files, and anywhere below some
 * folders. A file is recognised by what it holds, or else by its name. What cannot be used is left out, with the reason.
 *
 * @throws FileError for a path that cannot be read, and where nothing can be used
 */
export async function collect(paths: readonly string[]): Promise<Collected> {
  const results: Found<ParsedResults>[] = [];
  const comparisons: Found<Report>[] = [];
  const sweeps: Found<SweepReport>[] = [];
  const leftOut: Found<string>[] = [];
  for (const path of await filesOf(paths)) {
    try {
      const value = await readJson(path);
      const kind = kindOf(value, basename(path));
      if (kind === 'report') comparisons.push({ path, content: parseReport(value, path) });
      else if (kind === 'sweep') sweeps.push({ path, content: parseSweep(value, path) });
      else {
        const found = { path, content: parseHarnessResults(value, path) };
        checkDetails(found);
        results.push(found);
      }
    } catch (error) {
      if (!MixsgaError.isInstance(error)) throw error;
      leftOut.push({ path, content: error.message.replace(`${path}: `, '') });
    }
  }
  if (results.length + comparisons.length + sweeps.length === 0) {
    const [first] = leftOut;
    if (leftOut.length === 1) throw new FileError(first!.path, first!.content);
    const reason = first ? `; the first of ${leftOut.length} files that cannot be used is ${first.path}: ${first.content}` : '; mixsga eval --out writes results';
    throw new FileError(paths.join(', '), `expected results_….json, report.json or sweep.json in it or below, found none${reason}`);
  }
  return { results, comparisons, sweeps, leftOut };
}

/** Files that are given, and those below folders that may be results, in order of path. */
async function filesOf(paths: readonly string[]): Promise<string[]> {
  const files = new Set<string>();
  for (const path of paths) {
    const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
      throw new FileError(path, error.code === 'ENOENT' ? 'no such file or folder' : error.message);
    });
    if (!info.isDirectory()) {
      files.add(path);
      continue;
    }
    const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch((error: Error) => {
      throw new FileError(path, error.message);
    });
    const owned = new Set(entries.flatMap(({ name, parentPath }) => (OWNERS.includes(name) ? [parentPath] : [])));
    for (const entry of entries) {
      if (!entry.isFile() || !entry.name.endsWith('.json')) continue;
      const isTheirs = COMPANIONS.includes(entry.name) || isBelow(entry.parentPath, owned, path);
      if (NAMES.test(entry.name) || !isTheirs) files.add(join(entry.parentPath, entry.name));
    }
  }
  return [...files].sort();
}

/** Whether a folder is one of some, or below one of them. */
function isBelow(folder: string, some: ReadonlySet<string>, top: string): boolean {
  if (some.has(folder)) return true;
  const parent = dirname(folder);
  return folder !== top && parent !== folder && isBelow(parent, some, top);
}

function kindOf(value: unknown, name: string): 'results' | 'report' | 'sweep' {
  const { schema, results } = (typeof value === 'object' && value !== null ? value : {}) as { schema?: unknown; results?: unknown };
  const [, kind] = /^mixsga\/([a-z-]+)@/.exec(String(schema)) ?? [];
  if (kind === 'report' || kind === 'sweep') return kind;
  if (kind !== undefined) throw new MixsgaError(`expected ${EXPECTED}, got ${String(schema).slice(0, 60)}`);
  if (name.startsWith('results_') || (typeof results === 'object' && results !== null && !Array.isArray(results))) return 'results';
  if (name === 'report.json' || name === 'sweep.json') throw new MixsgaError(`schema: expected "mixsga/${name.slice(0, -5)}@…", got ${JSON.stringify(schema)?.slice(0, 60) ?? 'none'}`);
  throw new MixsgaError(`expected ${EXPECTED}, got JSON of something else`);
}

async function readJson(path: string): Promise<unknown> {
  try {
    const { size } = await stat(path);
    if (size > LARGEST) throw new FileError(path, `expected at most ${LARGEST / 2 ** 20} MiB, got ${Math.ceil(size / 2 ** 20)}`);
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    if (MixsgaError.isInstance(error)) throw error;
    const [line] = (error as Error).message.split('\n', 1);
    throw new FileError(path, error instanceof SyntaxError ? `expected JSON: ${line}` : line!, { cause: error });
  }
}

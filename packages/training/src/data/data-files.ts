import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { ArgumentError, FileError } from '@mixsga/backend';
import { downloadDataset, type DownloadProgress, isHubId } from '@mixsga/models';

import { message } from './files';
import { PART_NAMES, type Parts } from './split';

/** A file of a data set. */
export interface DataFile {
  /** Where it lies. */
  readonly path: string;
  /** What to call it: its path as given, or `organisation/name/path` of the hub. */
  readonly name: string;
  /** Of a data set whose files name parts, as the Hugging Face libraries find them: `data/train-00000-of-00001.parquet`. */
  readonly part?: keyof Parts<unknown> | undefined;
}

export interface FindOptions {
  /** Of a folder or a data set of the hub: a file, a folder, or a pattern in which `*` stands for anything within a name. */
  readonly file?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How far a download is. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** What can be read, by the endings of its names. */
const TABLES = /\.parquet$/i;
const LINES = /\.(jsonl|ndjson)(\.gz)?$/i;
const JSONS = /\.json(\.gz)?$/i;
const TEXTS = /\.(txt|md)$/i;
const READABLE = [TABLES, LINES, JSONS, TEXTS];

/**
 * The files that a data set is made of, in order of path. Of a folder these are its text files (.txt, .md), or where it has none but
 * a README, its Parquet, JSON Lines or JSON files, the first kind that there is; of the hub the other way round.
 *
 * @param spec a file, a folder, or "organisation/name[@revision]" of the Hugging Face hub, whose files are fetched once
 * @throws FileError when there is nothing to read or it cannot be had; ArgumentError for a malformed id
 */
export async function findDataFiles(spec: string, { file, signal, onProgress }: FindOptions = {}): Promise<DataFile[]> {
  const status = await stat(spec).catch((error: unknown) => {
    if (isHubId(spec) && !READABLE.some((kind) => kind.test(spec))) return null;
    throw new FileError(
      spec,
      `cannot be read (${message(error)}); give "sotu", or the path of a text, JSON Lines or Parquet file or of a folder of these, ` +
        'or "organisation/name" of a data set of the Hugging Face hub',
    );
  });
  if (status === null) {
    const { names, path } = await downloadDataset(spec, {
      select: (names) => selectFiles(spec, names, file, [[TABLES], [LINES], [JSONS], [TEXTS]]),
      ...{ signal, progress: onProgress },
    });
    return names.map((name) => ({ path: path(name), name: `${spec}/${name}`, part: partOf(name) }));
  }
  if (!status.isDirectory()) {
    if (file !== undefined) throw new ArgumentError(`${spec}: expected a folder or a data set to take ${file} of, got a file`);
    return [{ path: spec, name: spec }];
  }
  const entries = await readdir(spec, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(spec, '/').length));
  const selected = selectFiles(spec, names, file, [[TEXTS], [TABLES], [LINES], [JSONS]]);
  return selected.map((name) => ({ path: join(spec, name), name: join(spec, name), ...(!TEXTS.test(name) && { part: partOf(name) }) }));
}

/** The words by which files name a part. */
const PART_WORDS: Parts<string> = { train: 'train|training', validation: 'validation|valid|val|dev', test: 'test|testing|eval|evaluation' };

function partOf(name: string): keyof Parts<unknown> | undefined {
  return PART_NAMES.find((part) => new RegExp(`(^|[^a-z])(${PART_WORDS[part]})([^a-z]|$)`, 'i').test(name));
}

/** The names of the first kind that there is; a README counts where there is nothing else. */
function selectFiles(spec: string, names: readonly string[], file: string | undefined, kinds: RegExp[][]): string[] {
  const sorted = [...names].sort();
  const asked = file === undefined ? sorted : sorted.filter((name) => matches(name, file));
  const isReadme = (name: string) => /(^|\/)(readme|license)[^/]*$/i.test(name);
  for (const candidates of [asked.filter((name) => !isReadme(name)), asked]) {
    for (const kind of kinds) {
      const found = candidates.filter((name) => kind.some((pattern) => pattern.test(name)));
      if (found.length > 0) return found;
    }
  }
  const where = file === undefined ? '' : ` that ${file} names`;
  throw new FileError(spec, `holds no .txt, .md, .jsonl, .json or .parquet file${where}; ${names.length === 0 ? 'add some' : `it has ${listed(sorted)}`}`);
}

function matches(name: string, pattern: string): boolean {
  if (name === pattern || name.startsWith(pattern.replace(/\/*$/, '/'))) return true;
  const source = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[^/]*');
  return new RegExp(`^${source}$`).test(name);
}

function listed(names: readonly string[]): string {
  return names.length <= 4 ? names.join(', ') : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}

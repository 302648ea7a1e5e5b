import { createHash } from 'node:crypto';

import { ArgumentError, FileError } from '@mixsga/backend';
import type { DataRow, EvaluationData, Evaluator } from '@mixsga/evaluators';
import type { DownloadProgress, Tokenizer } from '@mixsga/models';

import { loadCorpus } from '../data/corpus';
import { readRows } from '../data/rows';
import { sotuRows, type SotuSet } from '../data/sotu-rows';
import { tokenizeCorpus } from '../data/tokenized-corpus';

/** What a task is measured on. */
export interface DataChoice {
  /**
   * A text for a task that reads one (default `sotu`). For the others what `readRows` takes, or `sotu` for the embedded data set
   * of that form (default: the published data set of the task).
   */
  readonly data?: string | undefined;
  /** Which of the files of a folder or data set: a file, a folder or a pattern with `*`. */
  readonly files?: string | undefined;
  /** Part of a text, and of the embedded data sets. */
  readonly split: 'validation' | 'test';
}

/** Data of a task, and a name that tells it from other data. */
export interface TaskData {
  readonly data: EvaluationData;
  /** SHA-256, hexadecimal. */
  readonly fingerprint: string;
}

interface Reading {
  /** Leaves out rows that are broken, and says how many, in place of failing. */
  readonly skipBroken?: boolean | undefined;
  readonly onMessage?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
}

/** The form in which the embedded data set serves a task. */
const SOTU_SETS: Readonly<Record<string, SotuSet>> = {
  wikitext: 'wikitext',
  hellaswag: 'hellaswag',
  dolly: 'instructions',
};

/**
 * The rows of a task's data set; a published one is fetched once.
 *
 * @throws ArgumentError when there is no such data set; FileError when the data cannot be had or a row is broken
 */
export async function readTaskRows(
  { name, dataset }: Evaluator,
  { data: spec, files, split }: DataChoice,
  { skipBroken, onMessage, signal, onDownload }: Reading,
): Promise<TaskData> {
  if (spec === 'sotu') {
    const set = SOTU_SETS[name];
    if (set !== undefined) return rowsData('sotu', await sotuRows(set, split));
    throw new ArgumentError(`${name}: expected a file, a folder or a data set of the hub, got sotu, which serves ${Object.keys(SOTU_SETS).join(', ')}`);
  }
  if (spec === undefined && dataset === undefined) {
    throw new ArgumentError(`${name}: expected a file of rows, got none; there is no published data set of it`);
  }
  const source = spec ?? dataset!.repository;
  const rows: DataRow[] = [];
  const skipped: FileError[] = [];
  const reading = { file: spec === undefined ? dataset!.file : files, skipBroken, signal, onProgress: onDownload, onSkip: (error: FileError) => void skipped.push(error) };
  try {
    for await (const row of readRows(source, reading)) {
      rows.push(name === 'wikitext' ? asPage(row) : row);
    }
  } catch (error) {
    if (spec !== undefined || rows.length > 0 || !FileError.isInstance(error)) throw error;
    const reason = error.message.slice(error.path.length + 2);
    throw new FileError(error.path, `${reason}; or give ${name} a data set of yours (--data ${name}=FILE)`, { cause: error });
  }
  if (skipped.length > 0) onMessage?.(`${name}: ${skipped.length} broken rows left out, the first: ${skipped[0]!.message}`);
  return rowsData(source, rows);
}

/** Rows as the data of a task. */
export function rowsData(name: string, rows: readonly DataRow[]): TaskData {
  const hash = createHash('sha256');
  for (const { value } of rows) hash.update(`${JSON.stringify(value)}\n`);
  return { data: { name, rows }, fingerprint: hash.digest('hex') };
}

/** A document of a text as a page of WikiText. */
function asPage({ value, where }: DataRow): DataRow {
  if (typeof value !== 'object' || value === null || 'page' in value || !('text' in value)) return { value, where };
  return { value: { page: value.text }, where };
}

/** The tokens of a task's text. @throws FileError when the text cannot be had or is broken */
export async function readTaskTokens(
  { data = 'sotu', files, split }: DataChoice,
  tokenizer: Tokenizer,
  { skipBroken, signal, onDownload }: Reading,
): Promise<TaskData> {
  const corpus = await loadCorpus(data, { file: files, skipBroken, signal, onProgress: onDownload });
  const { [split]: tokens, close } = await tokenizeCorpus(corpus, tokenizer, { signal });
  close();
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return { data: { name: corpus.name, tokens }, fingerprint: createHash('sha256').update(bytes).digest('hex') };
}

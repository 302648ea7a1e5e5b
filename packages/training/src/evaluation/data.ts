import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';

import { ArgumentError, FileError, Turns } from '@mixsga/backend';
import { type DataRow, type EvaluationData, type EvaluationOptions, type Evaluator, joinDocuments, type LanguageModel, type RowSources, tokensOfText } from '@mixsga/evaluators';
import type { DownloadProgress, Tokenizer } from '@mixsga/models';

import { collectDocuments, loadCorpus, readWholeText } from '../data/corpus';
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
  /** Part of a text, and of the embedded data sets. Default: all of a text of the user's own, and else `validation`. */
  readonly split?: 'validation' | 'test' | 'all' | undefined;
}

/** Data of a task, and a name that tells it from other data. */
export interface TaskData {
  readonly data: EvaluationData;
  /** SHA-256, hexadecimal. */
  readonly fingerprint: string;
  /** What was taken of it. */
  readonly split: NonNullable<DataChoice['split']>;
}

interface Reading {
  /** Leaves out rows that are broken, and says how many, in place of failing. */
  readonly skipBroken?: boolean | undefined;
  readonly onMessage?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
  /** How many rows are made. */
  readonly onRow?: RowSources['onRow'] | undefined;
  /** How much of a text is encoded, from 0 to 1. */
  readonly onEncoding?: ((done: number) => void) | undefined;
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
  { data: spec, files, split = 'validation' }: DataChoice,
  { skipBroken, onMessage, signal, onDownload }: Reading,
): Promise<TaskData> {
  if (spec === 'sotu' && split === 'all') throw new ArgumentError(`${name}: expected --split validation or test of the rows of sotu, got all`);
  if (spec === 'sotu') {
    const set = SOTU_SETS[name];
    if (set !== undefined) return rowsData('sotu', await sotuRows(set, split as 'validation' | 'test'), split);
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
      rows.push(row);
    }
  } catch (error) {
    if (spec !== undefined || rows.length > 0 || !FileError.isInstance(error)) throw error;
    const reason = error.message.slice(error.path.length + 2);
    throw new FileError(error.path, `${reason}; or give ${name} a data set of yours (--data ${name}=FILE)`, { cause: error });
  }
  if (skipped.length > 0) onMessage?.(`${name}: ${skipped.length} broken rows left out, the first: ${skipped[0]!.message}`);
  return rowsData(source, rows, split, signal);
}

/**
 * The rows of a task that makes its own, by the model's tokenizer.
 * @throws ArgumentError for data that it has no use for, and for options out of range; FileError when its text cannot be had or is broken
 */
export async function makeTaskRows(
  { name, makeRows, readsText = false }: Evaluator,
  choice: DataChoice,
  model: LanguageModel,
  options: EvaluationOptions,
  reading: Pick<Reading, 'skipBroken' | 'signal' | 'onDownload' | 'onRow'>,
): Promise<TaskData> {
  if (choice.data !== undefined && !readsText) throw new ArgumentError(`${name}: expected no data, got ${choice.data}; its rows are made, and none is cut from a text`);
  const haystack = textChoice(name, choice);
  const rows = await makeRows!(model, options, { text: () => readHaystack(haystack, reading), ...(reading.onRow && { onRow: reading.onRow }) });
  return rowsData(name, rows, haystack.split, reading.signal);
}

async function readHaystack({ data, files, split }: ReturnType<typeof textChoice>, { skipBroken, signal, onDownload }: Reading): Promise<{ name: string; text: string }> {
  const found = { file: files, skipBroken, signal, onProgress: onDownload };
  if (split === 'all') return { name: data, text: joinDocuments(await readWholeText(data, found)) };
  const corpus = await loadCorpus(data, found);
  return { name: corpus.name, text: joinDocuments((await collectDocuments(corpus))[split]) };
}

/** A text and the part of it that is asked for. */
function textChoice(who: string, { data = 'sotu', files, split = data !== 'sotu' && existsSync(data) ? 'all' : 'validation' }: DataChoice) {
  if (split === 'all' && data === 'sotu') throw new ArgumentError(`${who}: expected --split validation or test of sotu, got all; the rest was trained on`);
  return { data, files, split };
}

/** Rows as the data of a task. */
export async function rowsData(name: string, rows: readonly DataRow[], split: TaskData['split'], signal?: AbortSignal): Promise<TaskData> {
  const hash = createHash('sha256');
  const turns = new Turns(signal);
  for (const { value } of rows) {
    hash.update(`${JSON.stringify(value)}\n`);
    if (turns.due) await turns.take();
  }
  return { data: { name, rows }, fingerprint: hash.digest('hex'), split };
}

/**
 * The rows of which each can be measured, at most `limit`.
 * @throws FileError when none is left; ArgumentError for an option out of range
 */
export async function usableRows(
  evaluator: Evaluator,
  model: LanguageModel,
  { data: { name, rows }, split }: TaskData,
  options: Omit<EvaluationOptions, 'signal'>,
  { onMessage, signal }: Pick<Reading, 'onMessage' | 'signal'>,
): Promise<TaskData> {
  const turns = new Turns(signal);
  const kept: DataRow[] = [];
  const skipped: FileError[] = [];
  for (const row of rows!) {
    if (kept.length === options.limit) break;
    if (turns.due) await turns.take();
    try {
      for (const item of evaluator.items(model, { name, rows: [row] }, options)) evaluator.check?.(model, item, options);
      kept.push(row);
    } catch (error) {
      if (!FileError.isInstance(error)) throw error;
      skipped.push(error);
    }
  }
  if (kept.length === 0 && skipped.length > 0) throw new FileError(name, `has no row that can be measured; the first: ${skipped[0]!.message}`);
  if (skipped.length > 0) onMessage?.(`${evaluator.name}: ${skipped.length} unusable rows left out, the first: ${skipped[0]!.message}`);
  return rowsData(name, kept, split, signal);
}

/** The tokens of a task's text. @throws FileError when the text cannot be had or is broken */
export async function readTaskTokens(
  who: string,
  choice: DataChoice,
  model: LanguageModel,
  tokenizer: Tokenizer,
  { skipBroken, signal, onDownload, onMessage, onEncoding }: Reading,
): Promise<TaskData> {
  const { data, files, split } = textChoice(who, choice);
  const found = { file: files, skipBroken, signal, onProgress: onDownload };
  if (split === 'all') {
    let skipped = 0;
    const text = joinDocuments(await readWholeText(data, { ...found, onSkip: () => skipped++ }));
    const work = { signal, onProgress: onEncoding };
    const tokens = model.prefixToken === null ? Int32Array.from(await tokenizer.encodeLong(text, work)) : await tokensOfText(model, text, work);
    const count = (n: number): string => n.toLocaleString('en-US');
    const left = skipped === 0 ? '' : `; ${count(skipped)} broken rows left out`;
    onMessage?.(`${who}: all of ${data}: ${count(text.length)} characters, ${count(tokens.length - Number(model.prefixToken !== null))} tokens${left}`);
    return tokensData(data, tokens, split);
  }
  const corpus = await loadCorpus(data, found);
  const { [split]: tokens, close } = await tokenizeCorpus(corpus, tokenizer, { signal, onProgress: onEncoding && ((bytes) => onEncoding(bytes / corpus.bytes)) });
  close();
  return tokensData(corpus.name, tokens, split);
}

function tokensData(name: string, tokens: Int32Array, split: TaskData['split']): TaskData {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return { data: { name, tokens }, fingerprint: createHash('sha256').update(bytes).digest('hex'), split };
}

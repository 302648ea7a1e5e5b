import { expectOptions, FileError } from '@mixsga/backend';
import type { DataRow } from '@mixsga/evaluators';

import { type DataFile, findDataFiles, type FindOptions } from './data-files';
import { readText } from './files';
import { readJsonRows, type ReadingOptions } from './json-rows';
import { readParquetRows } from './parquet-rows';

export interface RowOptions extends FindOptions {
  /** Leaves broken rows out in place of failing. */
  readonly skipBroken?: boolean | undefined;
  /** What was wrong with a row that was left out. */
  readonly onSkip?: ((error: FileError) => void) | undefined;
}

/**
 * The rows of a data set in order, in a stream: JSON Lines (.jsonl, .ndjson), JSON (.json, an array or lines), either also as .gz,
 * Parquet, or text (.txt, .md: one row `{ text }` a file); a folder of these, or a data set of the Hugging Face hub, as
 * {@link findDataFiles} has them.
 *
 * @throws FileError when the set is empty or cannot be had, or names the line or row that is broken
 */
export async function* readRows(spec: string, options: RowOptions = {}): AsyncGenerator<DataRow> {
  let rows = 0;
  for (const file of await findDataFiles(spec, options)) {
    for await (const row of readFileRows(file, { skipBroken: options.skipBroken, onSkip: options.onSkip, signal: options.signal })) {
      rows++;
      yield row;
    }
  }
  if (rows === 0) throw new FileError(spec, 'holds no rows; add some');
}

/**
 * The rows of one file.
 * @param options `columns`: all that is needed of each row of a Parquet file
 */
export async function* readFileRows(
  file: DataFile,
  given: Pick<RowOptions, 'skipBroken' | 'onSkip'> & ReadingOptions & { readonly columns?: readonly string[] },
): AsyncGenerator<DataRow> {
  expectOptions('readFileRows', given, { skipBroken: true, onSkip: true, signal: true, onBytes: true, columns: true });
  const { skipBroken = false, onSkip, ...options } = given;
  for await (const row of readAnyRows(file, options)) {
    if (!FileError.isInstance(row)) yield row;
    else if (skipBroken) onSkip?.(row);
    else throw row;
  }
}

function readAnyRows(file: DataFile, options: ReadingOptions & { readonly columns?: readonly string[] }): AsyncGenerator<DataRow | FileError> {
  if (/\.parquet$/i.test(file.path)) return readParquetRows(file, options);
  if (/\.(jsonl|ndjson|json)(\.gz)?$/i.test(file.path)) return readJsonRows(file, options);
  return readTextRow(file, options);
}

async function* readTextRow({ path, name }: DataFile, { onBytes }: ReadingOptions): AsyncGenerator<DataRow> {
  const text = await readText(path);
  onBytes?.(Buffer.byteLength(text));
  yield { value: { text }, where: name };
}

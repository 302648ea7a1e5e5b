import { type FileHandle, open } from 'node:fs/promises';

import { FileError } from '@mixsga/backend';
import type { DataRow } from '@mixsga/evaluators';
import { type ColumnMetaData, type FileMetaData, parquetMetadata, parquetReadObjects, type RowGroup } from 'hyparquet';

import type { DataFile } from './data-files';
import { firstInvalidByte, message } from './files';
import type { ReadingOptions } from './json-rows';
import { checkMetadata, checkPages, checkThrift, mostUnpacked, mostValues } from './parquet-checks';
import { compressors } from './parquet-codecs';

/** What a file may claim: all that is allocated for it follows from these. */
const MAX_FOOTER_BYTES = 2 ** 24;
const MAX_GROUP_BYTES = 2 ** 30;

const MAGIC = 'PAR1';
/** A length and the magic, at the end of a file. */
const TAIL_BYTES = 8;

/**
 * The rows of a Parquet file, a row group at a time. 64-bit integers become numbers, dates ISO text, and binary values are left out. A
 * row whose text is not UTF-8 comes as the error that names it.
 *
 * @param columns to read of each row; default all
 * @throws FileError when the file is no Parquet file, is damaged, lacks a column, or claims sizes that it cannot have
 */
export async function* readParquetRows(
  file: DataFile,
  { columns, signal, onBytes }: ReadingOptions & { readonly columns?: readonly string[] | undefined } = {},
): AsyncGenerator<DataRow | FileError> {
  const handle = await open(file.path, 'r').catch((error: unknown) => {
    throw new FileError(file.name, `cannot be read: ${message(error)}`, { cause: error });
  });
  try {
    const { size } = await handle.stat();
    const metadata = await readFooter(handle, file, size);
    const names = metadata.schema.filter((_, i) => i > 0).map(({ name }) => name);
    const absent = columns?.find((column) => !names.includes(column));
    if (absent !== undefined) throw new FileError(file.name, `expected a column ${JSON.stringify(absent)}, got ${names.join(', ')}`);
    let row = 0;
    let told = 0;
    for (const [i, group] of metadata.row_groups.entries()) {
      signal?.throwIfAborted();
      const where = `${file.name}: row group ${i + 1}`;
      for (const value of await readGroup(handle, where, metadata, group, columns, size)) yield plainRow(value, `${file.name}: row ${++row}`);
      const share = Math.round(((i + 1) / metadata.row_groups.length) * size);
      onBytes?.(share - told);
      told = share;
    }
  } finally {
    await handle.close();
  }
}

async function readFooter(handle: FileHandle, { name }: DataFile, size: number): Promise<FileMetaData> {
  const head = await readBytes(handle, 0, Math.min(4, size));
  const tail = await readBytes(handle, Math.max(0, size - TAIL_BYTES), size);
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  if (size < MAGIC.length + TAIL_BYTES || text(head) !== MAGIC) throw new FileError(name, `not a Parquet file: expected it to begin with ${MAGIC}`);
  if (text(tail.subarray(4)) !== MAGIC) throw new FileError(name, `expected ${MAGIC} at its end: the file is cut or still being written; fetch it again`);
  const length = new DataView(tail.buffer).getUint32(0, true);
  if (length > Math.min(MAX_FOOTER_BYTES, size - MAGIC.length - TAIL_BYTES)) {
    throw new FileError(name, `damaged: its footer claims ${length} bytes of a file of ${size}, at most ${MAX_FOOTER_BYTES} are supported`);
  }
  return undamaged(name, async () => {
    const bytes = await readBytes(handle, size - TAIL_BYTES - length, size);
    checkThrift({ view: new DataView(bytes.buffer), offset: 0 });
    const metadata = parquetMetadata(bytes, { geoparquet: false });
    checkMetadata(metadata, size);
    return metadata;
  });
}

async function readGroup(
  handle: FileHandle,
  where: string,
  metadata: FileMetaData,
  group: RowGroup,
  columns: readonly string[] | undefined,
  size: number,
): Promise<Record<string, unknown>[]> {
  const chunks = group.columns.flatMap(({ meta_data }) =>
    meta_data && (!columns || columns.includes(meta_data.path_in_schema[0]!)) ? [rangeOf(meta_data)] : [],
  );
  const rows = Number(group.num_rows);
  const most = mostValues(group.columns.reduce((sum, { meta_data }) => sum + Number(meta_data?.total_compressed_size ?? 0), 0));
  const uncompressed = chunks.reduce((sum, chunk) => sum + chunk.uncompressed, 0);
  const mostBytes = mostUnpacked(chunks.reduce((sum, chunk) => sum + chunk.end - chunk.begin, 0));
  const isSound =
    rows >= 0 && rows <= most &&
    chunks.every(({ begin, end, values }) => begin >= MAGIC.length && begin <= end && end <= size && values >= 0 && values <= most);
  if (!isSound || uncompressed > mostBytes) {
    throw new FileError(where, `claims ${rows} rows and ${uncompressed} bytes, at most ${most} and ${mostBytes} that are in the file are supported; write smaller row groups`);
  }
  if (rows === 0 || chunks.length === 0) return [];
  const begin = Math.min(...chunks.map((chunk) => chunk.begin));
  const end = Math.max(...chunks.map((chunk) => chunk.end));
  if (end - begin > MAX_GROUP_BYTES) throw new FileError(where, `spans ${end - begin} bytes, at most ${MAX_GROUP_BYTES} are supported; write smaller row groups`);
  const bytes = await readBytes(handle, begin, end);
  const read = (names: readonly string[] | undefined): Promise<Record<string, unknown>[]> =>
    parquetReadObjects({
      file: { byteLength: size, slice: (from, to = size) => bytes.buffer.slice(from - begin, to - begin) },
      metadata: { ...metadata, row_groups: [group], num_rows: group.num_rows },
      ...{ compressors, utf8: false, parsers: { stringFromBytes: strictText } },
      ...(names && { columns: [...names] }),
    });
  return undamaged(where, async () => {
    for (const { meta, ...chunk } of chunks) {
      const view = new DataView(bytes.buffer, chunk.begin - begin, chunk.end - chunk.begin);
      await inColumn(meta.path_in_schema.join('.'), () => checkPages(view, meta, metadata));
    }
    return read(columns).catch(async (error: unknown) => {
      // Of several columns the library does not say which it is.
      for (const column of new Set(chunks.map(({ meta }) => meta.path_in_schema[0]!))) await inColumn(column, () => read([column]));
      throw error;
    });
  });
}

async function inColumn(column: string, parse: () => unknown): Promise<void> {
  try {
    await parse();
  } catch (error) {
    throw new Error(`column ${JSON.stringify(column)}: ${message(error)}`, { cause: error });
  }
}

function rangeOf(meta: ColumnMetaData): { meta: ColumnMetaData; begin: number; end: number; values: number; uncompressed: number } {
  const begin = Number(meta.dictionary_page_offset || meta.data_page_offset);
  const [values, uncompressed] = [Number(meta.num_values), Math.max(0, Number(meta.total_uncompressed_size))];
  return { meta, begin, end: begin + Number(meta.total_compressed_size), values, uncompressed };
}

async function readBytes(handle: FileHandle, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - begin);
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, at, bytes.length - at, begin + at);
    if (bytesRead === 0) throw new Error('the file shrank while it was read');
    at += bytesRead;
  }
  return bytes;
}

/** Whatever goes wrong in parsing is the fault of the file. */
async function undamaged<T>(where: string, parse: () => Promise<T>): Promise<T> {
  try {
    return await parse();
  } catch (error) {
    throw new FileError(where, `damaged or not supported: ${message(error).replaceAll('\n', ' ')}; write it again with another tool`, { cause: error });
  }
}

/** Text that is none, found while a row group is read; its row is found later. */
class NotUtf8 extends Error {
  constructor(readonly byte: number) {
    super();
  }
}

// A U+FEFF at the beginning of a cell is text: only a file has a byte order mark.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function strictText(bytes: Uint8Array): unknown {
  if (!bytes) return bytes;
  try {
    return strict.decode(bytes);
  } catch {
    return new NotUtf8(firstInvalidByte(bytes));
  }
}

function plainRow(row: Record<string, unknown>, where: string): DataRow | FileError {
  try {
    return { value: plain(row), where };
  } catch (error) {
    if (!(error instanceof NotUtf8)) throw error;
    return new FileError(where, `not valid UTF-8 at byte ${error.byte} of a text; convert it to UTF-8`);
  }
}

/** A value that JSON can hold. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof NotUtf8) throw value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return value instanceof Uint8Array ? undefined : Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

import { createReadStream, type ReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

import { FileError } from '@mixsga/backend';
import type { DataRow } from '@mixsga/evaluators';

import type { DataFile } from './data-files';
import { firstInvalidByte, MAXIMUM_BYTES, message } from './files';

export interface ReadingOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes of the file that were read since the last call. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

const NEWLINE = 0x0a;

/**
 * The rows of a JSON file (.gz or not): of an array, or the array `data` of an object, its items, and else each line by itself, in a
 * stream. NaN and infinities, which Python writes, are null. A row that is broken comes as the error that names it.
 *
 * @throws FileError when the file cannot be read, or a document is not JSON or too large to parse at once
 */
export async function* readJsonRows(file: DataFile, options: ReadingOptions = {}): AsyncGenerator<DataRow | FileError> {
  const lines = readLines(file, options);
  let mayBeDocument = /\.json(\.gz)?$/i.test(file.name);
  /** The first line of what may be a document: an object, of which it is not known whether others follow. */
  let first: DataRow | null = null;
  for await (const { bytes, number, offset, zero } of lines) {
    const where = `${file.name}: line ${number}`;
    if (zero !== null) {
      yield holdsZero(where, zero);
      continue;
    }
    const text = decode(bytes);
    if (first && text?.trim() !== '') {
      yield first;
      first = null;
    }
    if (text === null) {
      yield new FileError(where, `not valid UTF-8 at byte ${offset + firstInvalidByte(bytes)}; convert the file to UTF-8`);
    } else if (text.trim() !== '') {
      if (mayBeDocument && text.trimStart().startsWith('[')) return yield* documentRows(file, await restOf(file, bytes, lines));
      const row = parsed(where, text);
      if (mayBeDocument && FileError.isInstance(row) && text.trimStart().startsWith('{')) return yield* documentRows(file, await restOf(file, bytes, lines));
      if (mayBeDocument && !FileError.isInstance(row)) first = row;
      else yield row;
      mayBeDocument = false;
    }
  }
  if (first) yield* itemsOf(file, first.value) ?? [first];
}

function parsed(where: string, text: string): DataRow | FileError {
  try {
    return { value: parseJson(text), where };
  } catch (error) {
    return new FileError(where, `not JSON (${message(error)}); each line must be an object such as {"text": "..."}`);
  }
}

/** Strings, and the words that Python writes where JSON has none. */
const WORDS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/\b(NaN|Infinity)\b/.test(text)) throw error;
    return JSON.parse(text.replace(WORDS, (word) => (word.startsWith('"') ? word : 'null')));
  }
}

interface Line {
  readonly bytes: Uint8Array;
  /** From 1 on. */
  readonly number: number;
  /** Of its first byte in the file. */
  readonly offset: number;
  /** In the file, of the first zero byte, which no JSON has; null without one. Of such a line there are no bytes. */
  readonly zero: number | null;
}

function holdsZero(where: string, zero: number): FileError {
  return new FileError(where, `holds a zero byte at byte ${zero}; is it a text file? convert it to UTF-8`);
}

/** The lines of a file without their ends, in a stream. */
async function* readLines(file: DataFile, { signal, onBytes }: ReadingOptions): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let zero: number | null = null;
  let number = 1;
  let offset = 0;
  const add = (part: Uint8Array): void => {
    const at = zero === null ? part.indexOf(0) : -1;
    if (at >= 0) zero = offset + length + at;
    length += part.length;
    // What is refused is not kept: a file may be one long line of zeros.
    if (zero === null) parts.push(part);
    else parts = [];
  };
  const line = (end: Uint8Array): Line => {
    add(end);
    const one = { bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts), number: number++, offset, zero };
    offset += length + 1;
    parts = [];
    length = 0;
    zero = null;
    return one;
  };
  for await (const chunk of readChunks(file, onBytes)) {
    signal?.throwIfAborted();
    let start = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0; start = end + 1) yield line(chunk.subarray(start, end));
    add(chunk.subarray(start));
    if (zero === null && length > MAXIMUM_BYTES) throw new FileError(`${file.name}: line ${number}`, `holds over ${MAXIMUM_BYTES} bytes; split the row`);
  }
  if (length > 0) yield line(new Uint8Array());
}

async function* readChunks({ path, name }: DataFile, onBytes: ReadingOptions['onBytes']): AsyncGenerator<Buffer> {
  const source: ReadStream = createReadStream(path, { highWaterMark: 2 ** 20 });
  if (onBytes) source.on('data', (chunk) => onBytes(chunk.length));
  const isGzip = name.toLowerCase().endsWith('.gz');
  const stream = isGzip ? source.pipe(createGunzip()) : source;
  source.on('error', (error) => stream.destroy(error));
  try {
    yield* stream as AsyncIterable<Buffer>;
  } catch (error) {
    const isZlib = /^Z_/.test((error as NodeJS.ErrnoException).code ?? '');
    throw new FileError(name, isZlib ? `not a whole gzip file (${message(error)}); fetch it again` : `cannot be read: ${message(error)}`, { cause: error });
  } finally {
    source.destroy();
  }
}

/** A whole file, of which the first line was taken already. */
async function restOf(file: DataFile, first: Uint8Array, lines: AsyncIterable<Line>): Promise<string> {
  const parts = [first];
  let length = first.length;
  for await (const { bytes, number, zero } of lines) {
    if (zero !== null) throw holdsZero(`${file.name}: line ${number}`, zero);
    parts.push(Buffer.of(NEWLINE), bytes);
    length += bytes.length + 1;
    if (length > MAXIMUM_BYTES) {
      throw new FileError(file.name, `a document of over ${MAXIMUM_BYTES} bytes; write it as JSON Lines (.jsonl), an object on each line`);
    }
  }
  const whole = Buffer.concat(parts);
  const text = decode(whole);
  if (text === null) throw new FileError(file.name, `not valid UTF-8 at byte ${firstInvalidByte(whole)}; convert the file to UTF-8`);
  return text;
}

function documentRows(file: DataFile, text: string): DataRow[] {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new FileError(file.name, `not JSON (${message(error)}); expected an array of objects, {"data": [...]}, or an object on each line`);
  }
  return itemsOf(file, value) ?? [{ value, where: `${file.name}: row 1` }];
}

/** The rows of a document; null where it is one. */
function itemsOf({ name }: DataFile, value: unknown): DataRow[] | null {
  const items = Array.isArray(value) ? value : (value as { data?: unknown } | null)?.data;
  return Array.isArray(items) ? items.map((item: unknown, i) => ({ value: item, where: `${name}: row ${i + 1}` })) : null;
}

const strict = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

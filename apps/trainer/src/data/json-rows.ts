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
 * The rows of a JSON file (.gz or not): of an array its items, and else each line by itself, in a stream. A row that is broken comes as
 * the error that names it.
 *
 * @throws FileError when the file cannot be read, or an array is not JSON or too large to parse at once
 */
export async function* readJsonRows(file: DataFile, options: ReadingOptions = {}): AsyncGenerator<DataRow | FileError> {
  const lines = readLines(file, options);
  let mayBeArray = /\.json(\.gz)?$/i.test(file.name);
  for await (const { bytes, number, offset } of lines) {
    const where = `${file.name}: line ${number}`;
    const text = decode(bytes);
    if (text === null) {
      yield new FileError(where, `not valid UTF-8 at byte ${offset + firstInvalidByte(bytes)}; convert the file to UTF-8`);
    } else if (text.trim() !== '') {
      if (mayBeArray && text.trimStart().startsWith('[')) return yield* itemsOf(file, await restOf(file, bytes, lines));
      mayBeArray = false;
      yield parsed(where, text);
    }
  }
}

function parsed(where: string, text: string): DataRow | FileError {
  try {
    return { value: JSON.parse(text) as unknown, where };
  } catch (error) {
    return new FileError(where, `not JSON (${message(error)}); each line must be an object such as {"text": "..."}`);
  }
}

interface Line {
  readonly bytes: Uint8Array;
  /** From 1 on. */
  readonly number: number;
  /** Of its first byte in the file. */
  readonly offset: number;
}

/** The lines of a file without their ends, in a stream. */
async function* readLines(file: DataFile, { signal, onBytes }: ReadingOptions): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 1;
  let offset = 0;
  const line = (end: Uint8Array): Line => {
    const bytes = parts.length === 0 ? end : Buffer.concat([...parts, end]);
    const one = { bytes, number: number++, offset };
    offset += bytes.length + 1;
    parts = [];
    length = 0;
    return one;
  };
  for await (const chunk of readChunks(file, onBytes)) {
    signal?.throwIfAborted();
    let start = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0; start = end + 1) yield line(chunk.subarray(start, end));
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > MAXIMUM_BYTES) throw new FileError(`${file.name}: line ${number}`, `holds over ${MAXIMUM_BYTES} bytes; split the row`);
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
  for await (const { bytes } of lines) {
    parts.push(Buffer.of(NEWLINE), bytes);
    length += bytes.length + 1;
    if (length > MAXIMUM_BYTES) {
      throw new FileError(file.name, `an array of over ${MAXIMUM_BYTES} bytes; write it as JSON Lines (.jsonl), an object on each line`);
    }
  }
  const whole = Buffer.concat(parts);
  const text = decode(whole);
  if (text === null) throw new FileError(file.name, `not valid UTF-8 at byte ${firstInvalidByte(whole)}; convert the file to UTF-8`);
  return text;
}

function itemsOf({ name }: DataFile, text: string): DataRow[] {
  let items: unknown[];
  try {
    items = JSON.parse(text) as unknown[];
  } catch (error) {
    throw new FileError(name, `not JSON (${message(error)}); expected an array of objects`);
  }
  return items.map((value, i) => ({ value, where: `${name}: row ${i + 1}` }));
}

const strict = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

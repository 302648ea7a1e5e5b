import { FileError } from '@mixsga/backend';
import { JsonReader, type JsonValue } from './json';

/*
 * The safetensors format (https://github.com/huggingface/safetensors): 8 bytes little-endian length of the
 * header, a JSON header, then the tensors' bytes without holes or overlaps.
 */

export const BYTES_PER_VALUE = {
  ...{ F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1 },
  ...{ I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 },
} as const;
export const METADATA = '__metadata__';
const MAX_HEADER_BYTES = 100_000_000;
/** More than any published checkpoint has; with the limit of a name it bounds the memory that a header can ask for. */
export const MAX_TENSORS = 100_000;
export const MAX_NAME_BYTES = 1024;
const MAX_METADATA_BYTES = 2 ** 20;
/** Values of which a tensor's description may be made: 3 keys, a shape of some 50 dimensions, and what others add. */
const MAX_DESCRIPTION = 64;

/** Element types of stored tensors. */
export type SafetensorsDtype = keyof typeof BYTES_PER_VALUE;

/** Where a tensor lies: bytes `begin` to `end` of the data, which follow the header. */
export interface TensorPlace {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * The length of the header that the first 8 bytes claim.
 * @param first the first bytes of the file, 8 of them if it has as many
 * @param fileBytes the size of the file
 * @throws FileError when the file cannot hold such a header
 */
export function headerLength(first: Uint8Array, fileBytes: number, where: string): number {
  if (fileBytes < 8) {
    throw new FileError(where, `expected a safetensors file of at least 8 bytes, got ${fileBytes}; it is cut short`);
  }
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new FileError(where, `expected a header of at most ${MAX_HEADER_BYTES} bytes, got ${length}; is it a safetensors file?`);
  }
  if (Number(length) > fileBytes - 8) {
    throw new FileError(where, `expected a header of ${length} bytes, got ${fileBytes - 8}; the file is cut short, fetch it again`);
  }
  return Number(length);
}

/**
 * The tensors of a header, in the order of their bytes. Nothing in it is trusted: every dtype, shape and offset is
 * checked, and together the tensors have to fill the data without a hole or an overlap.
 * @param dataBytes size of the file after the header
 * @throws FileError naming the file, the tensor, what was expected and what was got
 */
export function parseHeader(header: Uint8Array, dataBytes: number, where: string): Map<string, TensorPlace> {
  const tensors = headerEntries(header, where)
    // An empty tensor may share its start with the tensor after it.
    .sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const [name, { begin, end }] of tensors) {
    if (begin !== position) {
      const problem = begin < position ? 'an overlap' : 'a hole';
      throw tensorError(where, name, `expected its data to begin at byte ${position}, got ${begin} (${problem})`);
    }
    if (end > dataBytes) {
      throw tensorError(where, name, `expected ${end} bytes of data, got ${dataBytes}; the file is cut short, fetch it again`);
    }
    position = end;
  }
  if (position !== dataBytes) {
    throw new FileError(where, `expected ${position} bytes of data after the header, got ${dataBytes}`);
  }
  return new Map(tensors);
}

function headerEntries(header: Uint8Array, where: string): [string, TensorPlace][] {
  const reader = new JsonReader(header);
  const entries: [string, TensorPlace][] = [];
  const badMetadata = (value: JsonValue) =>
    new FileError(where, `${METADATA}: expected an object of strings, got ${show(value)}`);
  // Its values are checked and let go.
  const metadata = () => {
    if (!reader.atObject) throw badMetadata(reader.value(MAX_DESCRIPTION, MAX_NAME_BYTES));
    reader.object(
      () => {
        const value = reader.value(MAX_DESCRIPTION, MAX_METADATA_BYTES);
        if (typeof value !== 'string') throw badMetadata(value);
      },
      MAX_TENSORS,
      MAX_NAME_BYTES,
    );
  };
  try {
    if (!reader.atObject) reader.fail('a JSON object');
    reader.object(
      (name) => {
        if (name === METADATA) metadata();
        else entries.push([name, tensorPlace(name, reader.value(MAX_DESCRIPTION, MAX_NAME_BYTES), where)]);
      },
      MAX_TENSORS,
      MAX_NAME_BYTES,
    );
    reader.end();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new FileError(where, `safetensors header: ${error.message}`, { cause: error });
  }
  return entries;
}

function tensorPlace(name: string, description: JsonValue, where: string): TensorPlace {
  // Other keys are passed over, as the reference reader does.
  if (!isObject(description) || !['data_offsets', 'dtype', 'shape'].every((key) => Object.hasOwn(description, key))) {
    const keys = isObject(description) ? Object.keys(description).sort().join(', ') || 'none' : show(description);
    throw tensorError(where, name, `expected the keys data_offsets, dtype, shape, got ${keys}`);
  }
  const { dtype, shape, data_offsets: offsets } = description;
  if (!isDtype(dtype)) {
    throw tensorError(where, name, `expected a dtype of ${Object.keys(BYTES_PER_VALUE).join(', ')}, got ${show(dtype)}`);
  }
  if (!isCounts(shape)) {
    throw tensorError(where, name, `expected a shape of whole numbers, got ${show(shape)}`);
  }
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw tensorError(where, name, `expected data_offsets [begin, end] with begin <= end, got ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = tensorBytes(dtype, shape);
  // A product that overflowed 2^53 is inexact, but it never equals the size of bytes that exist.
  if (expected !== end - begin) {
    throw tensorError(where, name, `expected ${expected} bytes for ${dtype} [${shape.join(', ')}], got ${end - begin}`);
  }
  return { dtype, shape, begin, end };
}

/** The bytes of a tensor. */
export function tensorBytes(dtype: SafetensorsDtype, shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, BYTES_PER_VALUE[dtype]);
}

/**
 * The start of a safetensors file: header length, and the header padded with spaces to a multiple of 8.
 * @param tensors in the order of their bytes, which {@link inFileOrder} gives
 */
export function encodeHeader(
  tensors: readonly (readonly [string, { readonly dtype: SafetensorsDtype; readonly shape: readonly number[] }])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  // Written by hand: as keys of an object, names such as `__proto__` or `7` would be lost or moved.
  const members = Object.keys(metadata).length > 0 ? [`${JSON.stringify(METADATA)}:${JSON.stringify(metadata)}`] : [];
  let begin = 0;
  for (const [name, { dtype, shape }] of tensors) {
    const end = begin + tensorBytes(dtype, shape);
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerBytes).fill(0x20, 8 + json.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.set(json, 8);
  return bytes;
}

/** Sorted by the size of the element type, largest first, then by name, as the reference implementation writes. */
export function inFileOrder<T extends { readonly dtype: SafetensorsDtype }>(tensors: Iterable<[string, T]>): [string, T][] {
  return [...tensors].sort(
    ([a, x], [b, y]) => BYTES_PER_VALUE[y.dtype] - BYTES_PER_VALUE[x.dtype] || (a < b ? -1 : 1),
  );
}

export function tensorError(where: string, name: string, problem: string): FileError {
  return new FileError(where, `tensor ${show(name)}: ${problem}`);
}

function isObject(value: JsonValue | undefined): value is { [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDtype(value: JsonValue | undefined): value is SafetensorsDtype {
  return typeof value === 'string' && Object.hasOwn(BYTES_PER_VALUE, value);
}

function isCounts(value: JsonValue | undefined): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}

/** A value of unknown size and content, on one line. */
export function show(value: JsonValue | undefined): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

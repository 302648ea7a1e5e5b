import { ArgumentError, FileError } from '@mixsga/backend';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './float16';
import { decodeUtf8, readFileBytes } from './fs';
import { parseStrictJson, type JsonValue } from './json';

/*
 * The safetensors format (https://github.com/huggingface/safetensors): 8 bytes little-endian length of the
 * header, a JSON header, then the tensors' bytes without holes or overlaps.
 */

const BYTES_PER_VALUE = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 } as const;
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = '__metadata__';

/** Element types that are read and written here. */
export type SafetensorsDtype = keyof typeof BYTES_PER_VALUE;

/** Element types that hold fractions; see {@link toFloat32} and {@link fromFloat32}. */
export type FloatDtype = 'F32' | 'F16' | 'BF16';

/** One tensor of a safetensors file. */
export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Row-major, little-endian. A view of the file's bytes when it was read. */
  readonly data: Uint8Array;
}

/**
 * Reads a safetensors file.
 * @returns tensor name to tensor, in the order of the bytes
 * @throws FileError naming the file, the tensor, what was expected and what was got
 */
export async function readSafetensors(path: string): Promise<Map<string, SafetensorsEntry>> {
  return decodeSafetensors(await readFileBytes(path), path);
}

/**
 * Decodes the bytes of a safetensors file. Nothing in the bytes is trusted: every length, offset and shape is
 * checked before it is used.
 * @param where the file's path or address, for error messages
 * @returns tensor name to tensor, in the order of the bytes; the data are views of `bytes`
 * @throws FileError as {@link readSafetensors}
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): Map<string, SafetensorsEntry> {
  const headerBytes = headerLength(bytes, where);
  const data = bytes.subarray(8 + headerBytes);
  const tensors = [...headerEntries(bytes.subarray(8, 8 + headerBytes), where)]
    .map(([name, description]) => ({ name, ...tensorInfo(name, description, where) }))
    // An empty tensor may share its start with the tensor after it.
    .sort((a, b) => a.begin - b.begin || a.end - b.end);

  const result = new Map<string, SafetensorsEntry>();
  let position = 0;
  for (const { name, dtype, shape, begin, end } of tensors) {
    if (begin !== position) {
      const problem = begin < position ? 'an overlap' : 'a hole';
      throw tensorError(where, name, `expected its data to begin at byte ${position}, got ${begin} (${problem})`);
    }
    if (end > data.length) {
      throw tensorError(where, name, `expected ${end} bytes of data, got ${data.length}; the file is cut short, fetch it again`);
    }
    result.set(name, { dtype, shape, data: data.subarray(begin, end) });
    position = end;
  }
  if (position !== data.length) {
    throw new FileError(where, `expected ${position} bytes of data after the header, got ${data.length}`);
  }
  return result;
}

function headerLength(bytes: Uint8Array, where: string): number {
  if (bytes.length < 8) {
    throw new FileError(where, `expected a safetensors file of at least 8 bytes, got ${bytes.length}; it is cut short`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new FileError(where, `expected a header of at most ${MAX_HEADER_BYTES} bytes, got ${length}; is it a safetensors file?`);
  }
  if (Number(length) > bytes.length - 8) {
    throw new FileError(where, `expected a header of ${length} bytes, got ${bytes.length - 8}; the file is cut short, fetch it again`);
  }
  return Number(length);
}

function headerEntries(header: Uint8Array, where: string): Map<string, JsonValue> {
  let json: JsonValue;
  try {
    json = parseStrictJson(decodeUtf8(header, where));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new FileError(where, `safetensors header: ${error.message}`, { cause: error });
  }
  if (!isObject(json)) {
    throw new FileError(where, `safetensors header: expected a JSON object, got ${show(json)}`);
  }
  const { [METADATA]: metadata, ...tensors } = json;
  if (metadata !== undefined && !(isObject(metadata) && Object.values(metadata).every((v) => typeof v === 'string'))) {
    throw new FileError(where, `${METADATA}: expected an object of strings, got ${show(metadata)}`);
  }
  return new Map(Object.entries(tensors));
}

function tensorInfo(name: string, description: JsonValue, where: string) {
  const keys = isObject(description) ? Object.keys(description).sort().join(', ') : null;
  if (!isObject(description) || keys !== 'data_offsets, dtype, shape') {
    throw tensorError(where, name, `expected the keys data_offsets, dtype, shape, got ${keys ?? show(description)}`);
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
  const expected = shape.reduce((product, n) => product * n, BYTES_PER_VALUE[dtype]);
  // A product that overflowed 2^53 is inexact, but it never equals the size of bytes that exist.
  if (expected !== end - begin) {
    throw tensorError(where, name, `expected ${expected} bytes for ${dtype} [${shape.join(', ')}], got ${end - begin}`);
  }
  return { dtype, shape, begin, end };
}

/**
 * Encodes tensors as a safetensors file, the same bytes for the same tensors whatever their order: sorted by
 * the size of the element type, largest first, then by name; the header padded with spaces to a multiple of 8.
 * @throws ArgumentError when a tensor's data have not the size of its shape and dtype
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const sorted = [...tensors].sort(
    ([a, x], [b, y]) => BYTES_PER_VALUE[y.dtype] - BYTES_PER_VALUE[x.dtype] || (a < b ? -1 : 1),
  );
  // Written by hand: as keys of an object, names such as `__proto__` or `7` would be lost or moved.
  const members = Object.keys(metadata).length > 0 ? [`${JSON.stringify(METADATA)}:${JSON.stringify(metadata)}`] : [];
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of sorted) {
    const expected = shape.reduce((product, n) => product * n, BYTES_PER_VALUE[dtype]);
    if (name === METADATA || data.length !== expected) {
      throw new ArgumentError(
        name === METADATA
          ? `encodeSafetensors: ${METADATA} is reserved, expected another tensor name`
          : `encodeSafetensors: tensor ${show(name)}: expected ${expected} bytes for ${dtype} [${shape.join(', ')}], got ${data.length}`,
      );
    }
    const info = { dtype, shape, data_offsets: [dataBytes, dataBytes + data.length] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    dataBytes += data.length;
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;

  const bytes = new Uint8Array(8 + headerBytes + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.set(json, 8);
  bytes.fill(0x20, 8 + json.length, 8 + headerBytes);
  let position = 8 + headerBytes;
  for (const [, { data }] of sorted) {
    bytes.set(data, position);
    position += data.length;
  }
  return bytes;
}

/**
 * The values of an F32, F16 or BF16 tensor, row-major, in memory of their own.
 * @throws ArgumentError when the tensor holds integers
 */
export function toFloat32({ dtype, data }: SafetensorsEntry): Float32Array<ArrayBuffer> {
  const aligned = new Uint8Array(data).buffer; // a copy, so aligned whatever the file has before it
  switch (dtype) {
    case 'F32':
      return new Float32Array(aligned);
    case 'F16':
      return float16ToFloat32(new Uint16Array(aligned));
    case 'BF16':
      return bfloat16ToFloat32(new Uint16Array(aligned));
    default:
      throw new ArgumentError(`toFloat32: expected a tensor of F32, F16 or BF16, got ${dtype}`);
  }
}

/** A tensor of the given element type, rounded to nearest, ties to even. Its data may share memory with `values`. */
export function fromFloat32(values: Float32Array, shape: readonly number[], dtype: FloatDtype = 'F32'): SafetensorsEntry {
  const typed = dtype === 'F32' ? values : dtype === 'F16' ? float32ToFloat16(values) : float32ToBfloat16(values);
  return { dtype, shape, data: new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength) };
}

function tensorError(where: string, name: string, problem: string): FileError {
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
function show(value: JsonValue | undefined): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

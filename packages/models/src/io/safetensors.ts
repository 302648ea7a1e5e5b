import { ArgumentError } from '@mixsga/backend';
import { float32ToBfloat16, float32ToFloat16 } from './float16';
import { readFileBytes } from './fs';
import { encodeHeader, headerLength, inFileOrder, METADATA, parseHeader, show, tensorBytes } from './safetensors-header';
import type { SafetensorsDtype } from './safetensors-header';
import { isReadable, READABLE, widened } from './widen';

// Whole files in memory; safetensors-source.ts reads tensor by tensor.

export type { SafetensorsDtype } from './safetensors-header';

/** Element types of weights that are written; see {@link fromFloat32}. */
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
  const headerBytes = headerLength(bytes, bytes.length, where);
  const data = bytes.subarray(8 + headerBytes);
  const tensors = parseHeader(bytes.subarray(8, 8 + headerBytes), data.length, where);
  return new Map(
    [...tensors].map(([name, { dtype, shape, begin, end }]) => [name, { dtype, shape, data: data.subarray(begin, end) }]),
  );
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
  const sorted = inFileOrder(tensors);
  for (const [name, { dtype, shape, data }] of sorted) {
    const expected = tensorBytes(dtype, shape);
    if (name === METADATA || data.length !== expected) {
      throw new ArgumentError(
        name === METADATA
          ? `encodeSafetensors: ${METADATA} is reserved, expected another tensor name`
          : `encodeSafetensors: tensor ${show(name)}: expected ${expected} bytes for ${dtype} [${shape.join(', ')}], got ${data.length}`,
      );
    }
  }
  const header = encodeHeader(sorted, metadata);
  const bytes = new Uint8Array(sorted.reduce((sum, [, { data }]) => sum + data.length, header.length));
  bytes.set(header);
  let position = header.length;
  for (const [, { data }] of sorted) {
    bytes.set(data, position);
    position += data.length;
  }
  return bytes;
}

/**
 * The values of an F32, F16, BF16 or F64 tensor, row-major, in memory of their own.
 * @throws ArgumentError when the tensor holds integers
 */
export function toFloat32({ dtype, data }: SafetensorsEntry): Float32Array<ArrayBuffer> {
  if (!isReadable(dtype)) throw new ArgumentError(`toFloat32: expected a tensor of ${READABLE}, got ${dtype}`);
  return widened(dtype, new Uint8Array(data).buffer); // a copy, so aligned whatever the file has before it
}

/** A tensor of the given element type, rounded to nearest, ties to even. Its data may share memory with `values`. */
export function fromFloat32(values: Float32Array, shape: readonly number[], dtype: FloatDtype = 'F32'): SafetensorsEntry {
  const typed = dtype === 'F32' ? values : dtype === 'F16' ? float32ToFloat16(values) : float32ToBfloat16(values);
  return { dtype, shape, data: new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength) };
}

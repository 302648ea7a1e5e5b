import { bfloat16ToFloat32, float16ToFloat32 } from './float16';
import type { SafetensorsDtype } from './safetensors-header';

/** Element types that are read as float32. */
const FLOATS = {
  F32: { array: Float32Array, widen: (part: Float32Array, values: Float32Array) => values.set(part) },
  F16: { array: Uint16Array, widen: float16ToFloat32 },
  BF16: { array: Uint16Array, widen: bfloat16ToFloat32 },
  // Rounded to nearest; what is out of the range of a float32 becomes an infinity.
  F64: { array: Float64Array, widen: (part: Float64Array, values: Float32Array) => values.set(part) },
} as const;

/** An element type that holds fractions. */
export type ReadableDtype = keyof typeof FLOATS;
export const READABLE = Object.keys(FLOATS).join(', ').replace(/, (\w+)$/, ' or $1');

interface Float {
  readonly array: new (buffer: number | ArrayBuffer) => (Float32Array | Uint16Array | Float64Array) & { readonly buffer: ArrayBuffer };
  readonly widen: (part: never, values: Float32Array) => unknown;
}

export function isReadable(dtype: SafetensorsDtype): dtype is ReadableDtype {
  return Object.hasOwn(FLOATS, dtype);
}

/** The values of little-endian bytes, as float32; F32 shares the buffer. */
export function widened(dtype: ReadableDtype, buffer: ArrayBuffer): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(buffer);
  const { array, widen } = FLOATS[dtype] as Float;
  const part = new array(buffer);
  const values = new Float32Array(part.length);
  widen(part as never, values);
  return values;
}

/**
 * Reads values that are widened `chunk` at a time, so that little is in memory beside the result.
 * @param read fills `target` with the bytes from `position` on, counted from the first value's
 */
export async function readWidened(
  dtype: ReadableDtype, count: number, chunk: number, read: (target: Uint8Array, position: number) => Promise<void>,
): Promise<Float32Array<ArrayBuffer>> {
  const values = new Float32Array(count);
  if (dtype === 'F32') {
    await read(new Uint8Array(values.buffer), 0);
    return values;
  }
  const { array, widen } = FLOATS[dtype] as Float;
  const bits = new array(Math.min(chunk, count));
  for (let at = 0; at < count; at += bits.length) {
    const part = bits.subarray(0, Math.min(bits.length, count - at));
    await read(new Uint8Array(part.buffer, 0, part.byteLength), at * part.BYTES_PER_ELEMENT);
    widen(part as never, values.subarray(at, at + part.length));
  }
  return values;
}

// Formats on arrays of the host, by their meaning.
import * as tf from '@tensorflow/tfjs-core';
import { dequantiseHeads, quantiseHeads, type KvType } from '../../inference/kv-type';
import type { InferenceRuntime, Rows } from '../../inference/runtime';
import type { KvFormat } from '../format';

/** The first rows on the host: [rows, width]. */
export async function hostRows(runtime: InferenceRuntime, x: Rows, rows: number): Promise<Float32Array> {
  const tensor = runtime.tensor(x, rows);
  try {
    return (await tensor.data<'float32'>()).slice();
  } finally {
    tensor.dispose();
  }
}

/** What a format stores of some tokens: [tokens, stored heads, stored head dimension]. @param k, v [tokens, kvHeads·headDim] */
export async function encoded(format: KvFormat, k: Float32Array, v: Float32Array): Promise<Float32Array> {
  const heads: [number, number, number] = [k.length / format.kvHeads / format.headDim, format.kvHeads, format.headDim];
  const stored = tf.tidy(() => format.encode(tf.tensor(k, heads), tf.tensor(v, heads)));
  try {
    return (await stored.data<'float32'>()).slice();
  } finally {
    stored.dispose();
  }
}

/** What attention sees of some stored tokens: [tokens, kvHeads·headDim] each. */
export async function decoded(format: KvFormat, stored: Float32Array): Promise<{ k: Float32Array; v: Float32Array }> {
  const { heads, headDim } = format.stored;
  if (stored.length === 0) return { k: stored, v: stored };
  const read = tf.tidy(() => ({ ...format.decode(tf.tensor(stored, [stored.length / heads / headDim, heads, headDim])) }));
  try {
    return { k: (await read.k.data<'float32'>()).slice(), v: (await read.v.data<'float32'>()).slice() };
  } finally {
    tf.dispose([read.k, read.v]);
  }
}

/** What pages give back of stored numbers. */
export function asStored({ stored: { heads, headDim, packing } }: KvFormat, numbers: Float32Array, type: KvType): Float32Array {
  if (!packing) return type === 'f32' ? numbers : dequantiseHeads(quantiseHeads(numbers, headDim));
  const result = new Float32Array(numbers.length);
  const bytes = new Uint8Array(packing.bytes);
  for (let at = 0; at < numbers.length; at += heads * headDim) {
    packing.pack(numbers.subarray(at, at + heads * headDim), bytes);
    packing.unpack(bytes, result.subarray(at, at + heads * headDim));
  }
  return result;
}

/** The given rows of [rows, width]. */
export function picked(x: Float32Array, rows: Int32Array, width: number): Float32Array {
  const result = new Float32Array(rows.length * width);
  rows.forEach((row, i) => result.set(x.subarray(row * width, (row + 1) * width), i * width));
  return result;
}

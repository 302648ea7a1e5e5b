// Keys and values through experts of any type, by `compress` and `expand`: the reference path, on every runtime, with what is stored on the host.
import { dequantiseHeads, type InferenceRuntime, type KvType, quantiseHeads, type Rows, slotOf, type StorePlan, TOKENS_PER_PAGE } from '@mixsga/backend';
import type { Expert } from '@mixsga/experts';
import * as tf from '@tensorflow/tfjs-core';

/** Projected keys and values, [rows, kvHeads·headDim] each. */
export interface KvRows {
  readonly k: Rows;
  readonly v: Rows;
}

export interface ThroughOptions {
  readonly runtime: InferenceRuntime;
  readonly experts: readonly Expert[];
  /** The expert of each row. */
  readonly assigned: Int32Array;
  readonly type: KvType;
  /** Where the rows of each expert go. */
  readonly plans: readonly StorePlan[] | null;
}

/** Each row becomes what its expert reads back of it, and what that stores is written where the plans say. */
export async function throughExperts({ k, v }: KvRows, { runtime, experts, assigned, type, plans }: ThroughOptions): Promise<void> {
  const rows = assigned.length;
  const [keys, values] = [await hostRows(runtime, k, rows), await hostRows(runtime, v, rows)];
  for (const [index, expert] of experts.entries()) {
    const own = Int32Array.from(assigned.keys()).filter((row) => assigned[row] === index);
    if (own.length === 0) continue;
    const stored = asStored(await compressed(expert, picked(keys, own, k.width), picked(values, own, v.width)), expert, type);
    const plan = plans?.find((plan) => assigned[plan.rows[0]!] === index);
    if (plan) writeStored(plan, stored, own.length);
    const read = await expanded(expert, stored);
    own.forEach((row, i) => {
      keys.set(read.k.subarray(i * k.width, (i + 1) * k.width), row * k.width);
      values.set(read.v.subarray(i * v.width, (i + 1) * v.width), row * v.width);
    });
  }
  runtime.write(keys, k);
  runtime.write(values, v);
}

/** The first rows on the host: [rows, width]. */
export async function hostRows(runtime: InferenceRuntime, x: Rows, rows: number): Promise<Float32Array> {
  const tensor = runtime.tensor(x, rows);
  try {
    return (await tensor.data<'float32'>()).slice();
  } finally {
    tensor.dispose();
  }
}

/** What an expert stores of some tokens: [tokens, stored heads, stored head dimension]. @param k, v [tokens, kvHeads·headDim] */
export async function compressed(expert: Expert, k: Float32Array, v: Float32Array): Promise<Float32Array> {
  const heads: [number, number, number] = [k.length / expert.kvHeads / expert.headDim, expert.kvHeads, expert.headDim];
  const stored = tf.tidy(() => expert.compress(tf.tensor(k, heads), tf.tensor(v, heads)));
  try {
    return (await stored.data<'float32'>()).slice();
  } finally {
    stored.dispose();
  }
}

/** What attention sees of some stored tokens: [tokens, kvHeads·headDim] each. */
export async function expanded(expert: Expert, stored: Float32Array): Promise<{ k: Float32Array; v: Float32Array }> {
  const { heads, headDim } = expert.stored;
  const read = tf.tidy(() => ({ ...expert.expand(tf.tensor(stored, [stored.length / heads / headDim, heads, headDim])) }));
  try {
    return { k: (await read.k.data<'float32'>()).slice(), v: (await read.v.data<'float32'>()).slice() };
  } finally {
    tf.dispose([read.k, read.v]);
  }
}

/** What pages of a type give back of stored numbers. */
function asStored(stored: Float32Array, { stored: { headDim } }: Expert, type: KvType): Float32Array {
  return type === 'f32' ? stored : dequantiseHeads(quantiseHeads(stored, headDim));
}

function writeStored({ segment, firstSlot }: StorePlan, stored: Float32Array, tokens: number): void {
  const width = stored.length / tokens;
  for (let done = 0; done < tokens; ) {
    const { page, offset } = slotOf(segment, firstSlot + done);
    const next = Math.min(tokens, done + TOKENS_PER_PAGE - offset);
    segment.store.write(page, offset, stored.subarray(done * width, next * width), new Float32Array(0));
    done = next;
  }
}

function picked(x: Float32Array, rows: Int32Array, width: number): Float32Array {
  const result = new Float32Array(rows.length * width);
  rows.forEach((row, i) => result.set(x.subarray(row * width, (row + 1) * width), i * width));
  return result;
}

import type { Rows } from '@mixsga/backend';
import { distortions } from '@mixsga/experts';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { hostRows } from './expert-rows';
import type { Parts } from './parts';

/**
 * What the router of a layer reads of some tokens: what their keys and values are computed from, or where it asks for that, what each
 * expert would lose of these.
 *
 * @param input [rows, D]
 * @param kv as projected; whether keys are rotated makes no difference, as all heads of a token turn alike
 */
export async function routerInput(
  parts: Parts, layer: number, input: Rows, kv: { readonly k: Rows; readonly v: Rows; readonly seen: Rows | null }, rows: number,
): Promise<Rows> {
  const { runtime, transformer, routers } = parts;
  const { k, v, seen } = kv;
  if (!routers[layer]?.router.distortion || !seen) return input;
  const experts = parts.experts[layer];
  if (!experts) {
    runtime.distortions(transformer.kv[layer]!, k, v, seen, rows);
    return seen;
  }
  const [keys, values] = [await hostRows(runtime, k, rows), await hostRows(runtime, v, rows)];
  const lost = tf.tidy(() => distortions(tf.tensor(keys, [rows, k.width]) as Tensor2D, tf.tensor(values, [rows, v.width]) as Tensor2D, experts));
  try {
    runtime.write(await lost.data<'float32'>(), seen);
  } finally {
    lost.dispose();
  }
  return seen;
}

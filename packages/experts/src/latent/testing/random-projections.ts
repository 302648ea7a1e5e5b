import { type FormatLayout, type LatentBasis, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { LatentBasisValues, LatentInputs } from '../fit';

/** A layer with normal weights. */
export function randomProjections(
  { kvHeads, headDim }: FormatLayout, { inputs, rank, seed }: { inputs: number; rank: number; seed: number },
): LatentInputs {
  const width = Math.round(inputs);
  const draw = (count: number, stream: number) => {
    const random = new SeededRandom(seed, stream);
    return Float32Array.from({ length: count }, () => random.normal());
  };
  const projection = (stream: number) => ({ weight: draw(kvHeads * headDim * width, stream), bias: draw(kvHeads * headDim, stream + 1) });
  return { k: projection(0), v: projection(2), gain: draw(width, 4), inputs: width, rank };
}

/** @param rows 2·K·d */
export function tensorsOf({ weight, bias, scale }: LatentBasisValues, rows: number): LatentBasis {
  return { weight: tf.tensor2d(weight, [rows, weight.length / rows]), bias: tf.tensor1d(bias), scale: tf.tensor1d(scale) };
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { SeededRandom } from '../random';
import type { Values } from './compare';
import { read } from './compare';
import type { KernelCase } from './kernel-case';

type Operation = KernelCase['run'];

const DIRECTIONS = 3;
const STEP = 2e-3;
// Of squares, so 1 % in the derivative itself: what float32 differences can tell.
const TOLERANCE = 1e-4;

export const toArray = (result: Tensor | Tensor[]): Tensor[] => (Array.isArray(result) ? result : [result]);

/**
 * The gradients of L = Σ w ∘ outputs, for fixed random weights w, with respect to the inputs at `indexes`. The caller
 * disposes them.
 */
export function gradientsOf(operation: Operation, inputs: readonly Tensor[], indexes: readonly number[]): Tensor[] {
  const loss = (...chosen: Tensor[]) => {
    const all = [...inputs];
    indexes.forEach((index, i) => (all[index] = chosen[i]!));
    const terms = floats(toArray(operation(...all))).map((output, i) =>
      tf.sum(tf.mul(output, tf.tensor(weights(i, output.size), output.shape))),
    );
    return tf.addN(terms);
  };
  return tf.tidy(() => tf.grads(loss)(indexes.map((index) => inputs[index]!)));
}

/**
 * Compares gradients with central differences of the same L along random directions v: (L(x+hv) − L(x−hv)) / 2h against
 * ⟨gradient, v⟩. L is summed in double precision, and the error is relative to the size that ⟨gradient, v⟩ has on
 * average.
 *
 * @returns what disagrees, or null
 */
export async function checkAgainstDifferences(
  { differentiable, step = STEP }: KernelCase,
  operation: Operation,
  inputs: readonly Tensor[],
  gradients: readonly Values[],
): Promise<string | null> {
  const random = new SeededRandom(2);
  for (const [i, index] of differentiable!.entries()) {
    const gradient = Array.from(gradients[i]!.data);
    const x = Array.from(await inputs[index]!.data());
    const h = step * (Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0) / x.length) || 1);
    const power = gradient.reduce((sum, value) => sum + value ** 2, 0);
    let error = 0;
    for (let n = 0; n < DIRECTIONS; n++) {
      const v = Float32Array.from(x, () => random.normal());
      const expected = gradient.reduce((sum, value, j) => sum + value * v[j]!, 0);
      const [up, down] = [await lossAt(operation, inputs, index, v, h), await lossAt(operation, inputs, index, v, -h)];
      error += ((up - down) / (2 * h) - expected) ** 2 / DIRECTIONS;
    }
    if (error > 0 && !(error / power <= TOLERANCE)) {
      const relative = (error / power).toExponential(1);
      return `gradient of input ${index} disagrees with finite differences: NMSE ${relative} is above ${TOLERANCE}`;
    }
  }
  return null;
}

async function lossAt(
  operation: Operation,
  inputs: readonly Tensor[],
  index: number,
  direction: Float32Array,
  h: number,
): Promise<number> {
  const outputs = tf.tidy(() => {
    const moved = [...inputs];
    const x = inputs[index]!;
    moved[index] = tf.add(x, tf.mul(tf.tensor(direction, x.shape), h));
    return floats(toArray(operation(...moved)));
  });
  let loss = 0;
  for (const [i, output] of outputs.entries()) {
    const { data } = await read(output);
    const w = weights(i, data.length);
    data.forEach((value, j) => (loss += value * w[j]!));
    output.dispose();
  }
  return loss;
}

const floats = (outputs: Tensor[]): Tensor[] => outputs.filter(({ dtype }) => dtype === 'float32');

function weights(output: number, size: number): Float32Array {
  const random = new SeededRandom(1, output);
  return Float32Array.from({ length: size }, () => random.normal());
}

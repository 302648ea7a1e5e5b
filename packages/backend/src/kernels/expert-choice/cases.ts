import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { SeededRandom } from '../../random';
import { normal } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { expertChoice } from './op';

interface Variant {
  readonly name: string;
  readonly batch: number;
  readonly length: number;
  readonly ratios: readonly number[];
  /** Scores are drawn from these; normal draws when left out. */
  readonly scores?: readonly number[];
  /** Whether the token is real; all are when left out. */
  mask?(sequence: number, token: number): boolean;
}

const variants: readonly Variant[] = [
  { name: 'one token', batch: 2, length: 1, ratios: [0.5, 0.5] },
  { name: 'one expert', batch: 2, length: 9, ratios: [1] },
  { name: 'halves', batch: 3, length: 64, ratios: [0.5, 0.5] },
  { name: 'halves of an odd length', batch: 2, length: 65, ratios: [0.5, 0.5] },
  { name: '1:1:8', batch: 2, length: 130, ratios: [0.1, 0.1, 0.8] },
  { name: '3:1:6', batch: 1, length: 300, ratios: [0.3, 0.1, 0.6] },
  { name: 'ceilings leave none for the last', batch: 2, length: 3, ratios: [0.4, 0.4, 0.2] },
  { name: 'more experts than tokens', batch: 2, length: 2, ratios: [0.25, 0.25, 0.25, 0.25] },
  { name: 'zero ratios', batch: 2, length: 20, ratios: [0, 0.5, 0, 0.5, 0] },
  { name: 'all to the first', batch: 2, length: 20, ratios: [1, 0] },
  { name: 'all to the last', batch: 2, length: 20, ratios: [0, 1] },
  { name: 'every score the same', batch: 2, length: 20, ratios: [0.3, 0.3, 0.4], scores: [0.5] },
  { name: 'many ties', batch: 3, length: 70, ratios: [0.3, 0.3, 0.4], scores: [0.25, 0.5, 0.75] },
  { name: 'ties of 0 and -0', batch: 3, length: 40, ratios: [0.4, 0.6], scores: [0, -0] },
  { name: 'scores apart in the last bit', batch: 2, length: 40, ratios: [0.3, 0.7], scores: [1, 1 + 2 ** -23, 1 + 2 ** -22] },
  {
    name: 'all sizes and signs', batch: 2, length: 60, ratios: [0.3, 0.3, 0.4],
    scores: [-Infinity, -1e30, -1, -1e-37, 1e-37, 3, 1e38, Infinity],
  },
  { name: 'padding', batch: 3, length: 33, ratios: [0.5, 0.3, 0.2], mask: (sequence, token) => (token + sequence) % 3 > 0 },
  { name: 'padding only, and none', batch: 3, length: 12, ratios: [0.5, 0.5], mask: (sequence) => sequence === 1 },
  {
    name: 'left padding, ties', batch: 2, length: 21, ratios: [0.4, 0.6], scores: [0, 1],
    mask: (sequence, token) => token >= 5 * sequence,
  },
];

export const cases: KernelCase[] = variants.map(({ name, batch, length, ratios, scores, mask }) => ({
  kernel: 'expertChoice',
  name,
  inputs: (random) => {
    const shape = [batch, length, ratios.length];
    const values = scores ? drawn(random, scores, shape) : normal(random, shape);
    if (!mask) return [values];
    const real = Array.from({ length: batch * length }, (_, i) => Number(mask(Math.floor(i / length), i % length)));
    return [values, tf.tensor2d(real, [batch, length], 'int32')];
  },
  run: (...[values, real]: Tensor[]) => expertChoice(values as Tensor3D, ratios, real as Tensor2D | undefined),
}));

function drawn(random: SeededRandom, from: readonly number[], shape: number[]): Tensor {
  const data = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => from[random.nextInt(from.length)]!);
  return tf.tensor(data, shape);
}

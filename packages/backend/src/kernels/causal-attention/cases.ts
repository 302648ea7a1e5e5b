import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import type { CausalAttentionOptions } from './reference';
import { causalAttention } from './op';

interface Variant extends CausalAttentionOptions {
  readonly length: number;
  readonly headDim: number;
  /** Standard deviation of queries and keys. */
  readonly deviation?: number;
}

// Around the kernel's block of 64 queries and the fast product's depth block of 256.
const variants: readonly Variant[] = [
  { batch: 1, length: 1, heads: 1, kvHeads: 1, headDim: 4 },
  { batch: 3, length: 1, heads: 4, kvHeads: 2, headDim: 6 },
  { batch: 2, length: 5, heads: 3, kvHeads: 3, headDim: 6 },
  { batch: 2, length: 7, heads: 4, kvHeads: 1, headDim: 20 },
  { batch: 2, length: 16, heads: 8, kvHeads: 4, headDim: 4 },
  { batch: 1, length: 64, heads: 2, kvHeads: 2, headDim: 16 },
  { batch: 2, length: 65, heads: 4, kvHeads: 2, headDim: 16 },
  { batch: 1, length: 65, heads: 2, kvHeads: 1, headDim: 64 },
  { batch: 1, length: 130, heads: 4, kvHeads: 1, headDim: 6 },
  { batch: 1, length: 139, heads: 2, kvHeads: 2, headDim: 5 },
  { batch: 1, length: 263, heads: 1, kvHeads: 1, headDim: 4 },
  { batch: 1, length: 9, heads: 2, kvHeads: 1, headDim: 260 },
  { batch: 2, length: 11, heads: 2, kvHeads: 1, headDim: 8, scale: 1.7 },
  { batch: 1, length: 70, heads: 2, kvHeads: 2, headDim: 4, scale: 0 },
  { batch: 2, length: 11, heads: 2, kvHeads: 1, headDim: 8, softCap: 1.5 },
  { batch: 1, length: 70, heads: 4, kvHeads: 2, headDim: 6, softCap: 5, scale: 0.7 },
  { batch: 2, length: 9, heads: 2, kvHeads: 2, headDim: 6, window: 1 },
  { batch: 1, length: 140, heads: 2, kvHeads: 1, headDim: 8, window: 65 },
  { batch: 1, length: 12, heads: 2, kvHeads: 1, headDim: 8, window: 40 },
  // The first 256 keys, a block of the product in depth, are out of sight of the last queries.
  { batch: 1, length: 323, heads: 1, kvHeads: 1, headDim: 5, window: 20, softCap: 3 },
  // Scores in the thousands: the softmax is one-hot, and stays finite only because its maximum is subtracted.
  { batch: 1, length: 70, heads: 2, kvHeads: 1, headDim: 8, deviation: 40 },
];

export const cases: KernelCase[] = [
  ...variants.map(({ length, headDim, deviation = 1, ...options }): KernelCase => {
    const { batch, heads, kvHeads, scale, window, softCap } = options;
    const rows = batch * length;
    // One token attends to itself whatever q and k are: their gradient is rounding noise. That of a saturated
    // softmax is too small for differences of float32.
    const differentiable = length === 1 || window === 1 || scale === 0 ? [2] : [0, 1, 2];
    return {
      kernel: 'causalAttention',
      name:
        `${batch} x ${length} tokens, ${heads}/${kvHeads} heads of ${headDim}` +
        `${scale === undefined ? '' : `, scale ${scale}`}${deviation > 1 ? ', large scores' : ''}` +
        `${window === undefined ? '' : `, a window of ${window}`}${softCap === undefined ? '' : `, capped at ${softCap}`}`,
      inputs: (random) => [
        normal(random, [rows, heads * headDim], deviation),
        normal(random, [rows, kvHeads * headDim], deviation),
        normal(random, [rows, kvHeads * headDim]),
      ],
      run: (q: Tensor2D, k: Tensor2D, v: Tensor2D) => causalAttention(q, k, v, options),
      ...(deviation > 1 ? {} : { differentiable }),
    };
  }),
  {
    kernel: 'causalAttention',
    name: '1 x 6 tokens, NaN in the first query',
    inputs: (random) => [normalWith(random, [6, 8], [NaN]), normal(random, [6, 8]), normal(random, [6, 8])],
    run: (q: Tensor2D, k: Tensor2D, v: Tensor2D) => causalAttention(q, k, v, { batch: 1, heads: 2, kvHeads: 2 }),
  },
  {
    kernel: 'causalAttention',
    name: '2 x 5 tokens, NaN in the first value of a sequence',
    inputs: (random) => [
      normal(random, [10, 4]),
      normal(random, [10, 4]),
      tf.concat([normal(random, [5, 4]), normalWith(random, [5, 4], [NaN])]),
    ],
    run: (q: Tensor2D, k: Tensor2D, v: Tensor2D) => causalAttention(q, k, v, { batch: 2, heads: 1, kvHeads: 1 }),
  },
];

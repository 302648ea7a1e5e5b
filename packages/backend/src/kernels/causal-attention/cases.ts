import type { Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { causalAttention } from './op';

interface Shape {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale?: number;
  /** Size of the queries: large ones need a softmax that subtracts its maximum. */
  readonly queries?: number;
}

const shapes: readonly Shape[] = [
  { batch: 1, length: 1, heads: 1, kvHeads: 1, headDim: 4 },
  { batch: 2, length: 7, heads: 4, kvHeads: 4, headDim: 8 },
  { batch: 2, length: 9, heads: 4, kvHeads: 2, headDim: 8 },
  { batch: 1, length: 12, heads: 6, kvHeads: 1, headDim: 5 },
  { batch: 1, length: 67, heads: 2, kvHeads: 1, headDim: 16 },
  { batch: 1, length: 10, heads: 2, kvHeads: 2, headDim: 4, scale: 1.7 },
  { batch: 1, length: 10, heads: 2, kvHeads: 2, headDim: 4, queries: 60 },
];

export const causalAttentionCases: KernelCase[] = [
  ...shapes.map(({ batch, length, heads, kvHeads, headDim, scale, queries = 1 }): KernelCase => {
    const rows = batch * length;
    const extra = `${scale ? `, scale ${scale}` : ''}${queries > 1 ? ', large scores' : ''}`;
    return {
      kernel: 'causalAttention',
      name: `${batch} x ${length} tokens, ${heads}/${kvHeads} heads of ${headDim}${extra}`,
      inputs: (random) => [
        normal(random, [rows, heads * headDim], queries),
        normal(random, [rows, kvHeads * headDim]),
        normal(random, [rows, kvHeads * headDim]),
      ],
      run: (q: Tensor2D, k: Tensor2D, v: Tensor2D) =>
        causalAttention(q, k, v, { batch, heads, kvHeads, ...(scale === undefined ? {} : { scale }) }),
      // A saturated softmax has gradients too small for differences of float32.
      ...(queries > 1 ? {} : { differentiable: [0, 1, 2] }),
    };
  }),
  {
    kernel: 'causalAttention',
    name: '1 x 6 tokens, NaN in the first query',
    inputs: (random) => [normalWith(random, [6, 8], [NaN]), normal(random, [6, 8]), normal(random, [6, 8])],
    run: (q: Tensor2D, k: Tensor2D, v: Tensor2D) => causalAttention(q, k, v, { batch: 1, heads: 2, kvHeads: 2 }),
  },
];

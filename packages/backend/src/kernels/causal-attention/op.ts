import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { expectOptions, type OptionNames } from '../../options';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape, expectSoftCap } from '../validate';
import { type CausalAttentionOptions, causalAttentionReference } from './reference';

const OPTIONS: OptionNames<CausalAttentionOptions> = { batch: true, heads: true, kvHeads: true, scale: true, window: true, softCap: true };

/**
 * Causal softmax attention over whole sequences, grouped-query where kvHeads < heads. Row b·T + t is token t of
 * sequence b; heads lie one after another in a row.
 *
 * @param q float32 [B·T, heads·headDim]
 * @param k float32 [B·T, kvHeads·headDim]
 * @param v float32 [B·T, kvHeads·headDim]
 * @returns float32 [B·T, heads·headDim]; differentiable in q, k and v
 * @throws ArgumentError when the shapes do not fit the heads and the batch, or window or softCap is not above 0
 */
export function causalAttention(q: Tensor2D, k: Tensor2D, v: Tensor2D, options: CausalAttentionOptions): Tensor2D {
  expectOptions('causalAttention', options, OPTIONS);
  const { batch, heads, kvHeads } = options;
  const [rows, width] = q.shape;
  if (width % heads !== 0 || heads % kvHeads !== 0 || rows % batch !== 0) {
    throw new ArgumentError(
      `causalAttention: expected ${heads} query heads to divide the width ${width}, ${kvHeads} KV heads to divide ` +
        `the query heads, and ${batch} sequences to divide the ${rows} rows`,
    );
  }
  const headDim = width / heads;
  expectShape('causalAttention', 'k', k, [rows, kvHeads * headDim]);
  expectShape('causalAttention', 'v', v, [rows, kvHeads * headDim]);
  expectFloats('causalAttention', { q, k, v });
  const length = rows / batch;
  const { scale = headDim ** -0.5, window = length, softCap } = options;
  if (!Number.isInteger(window) || window < 1) {
    throw new ArgumentError(`causalAttention: expected a window of at least 1 token, got ${window}`);
  }
  expectSoftCap('causalAttention', softCap);
  const resolved = { batch, heads, kvHeads, scale, window: Math.min(window, length), softCap: softCap ?? 0 };
  if (!hasKernel('MixsgaCausalAttention')) return tf.tidy(() => causalAttentionReference(q, k, v, resolved));
  return withGradient(
    [q, k, v],
    (save, [q, k, v]) => {
      const [out, logSumExp] = runKernel('MixsgaCausalAttention', { q: q!, k: k!, v: v! }, resolved);
      save([q!, k!, v!, logSumExp!]);
      return out!;
    },
    (dy, [q, k, v, logSumExp]) =>
      runKernel('MixsgaCausalAttentionGradient', { q: q!, k: k!, v: v!, logSumExp: logSumExp!, dy }, resolved),
  ) as Tensor2D;
}

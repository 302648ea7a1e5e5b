import { ArgumentError } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Expert, ExpertOptions } from './expert';
import { validateGroupSizes } from './group-sizes';

/**
 * Weight-shared grouped expert (paper section 3.3): stored head j is the mean of the KV heads j·g … (j+1)·g − 1,
 * and serves all of them.
 *
 * @throws ArgumentError when the group size does not divide the KV heads
 */
export function groupedExpert({ kvHeads, groupSize }: ExpertOptions): Expert {
  validateGroupSizes([groupSize], kvHeads);
  const storedHeads = kvHeads / groupSize;

  function mean(x: Tensor): Tensor {
    const { leading, headDim } = headsOf(x, kvHeads, 'compress');
    return tf.tidy(() =>
      tf.reshape(tf.mean(tf.reshape(x, [-1, groupSize, headDim]), 1), [...leading, storedHeads, headDim]),
    );
  }

  function spread(x: Tensor): Tensor {
    const { leading, headDim } = headsOf(x, storedHeads, 'expand');
    // A product with ones, since tile is far slower on wasm.
    return tf.tidy(() =>
      tf.reshape(tf.mul(tf.reshape(x, [-1, 1, headDim]), tf.ones([1, groupSize, 1])), [...leading, kvHeads, headDim]),
    );
  }

  return {
    kvHeads,
    storedHeads: { k: storedHeads, v: storedHeads },
    groupSize,
    compress: (k, v) => ({ k: mean(k), v: mean(v) }),
    expand: ({ k, v }) => ({ k: spread(k), v: spread(v) }),
  };
}

function headsOf(x: Tensor, heads: number, operation: string): { leading: number[]; headDim: number } {
  const [actual, headDim] = x.shape.slice(-2);
  if (headDim === undefined || actual !== heads) {
    throw new ArgumentError(
      `groupedExpert.${operation}: expected shape [..., ${heads}, head dimension], got [${x.shape.join(', ')}]`,
    );
  }
  return { leading: x.shape.slice(0, -2), headDim };
}

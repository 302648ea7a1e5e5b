import { distortionsOf, groupingOf, groupMean, type KeyValue, type KvFormat, lostByFormats } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { expectRows } from './mix';

/**
 * What storing each token would lose: of its keys ‖k‖², then ‖k − k̂‖² with what each of E formats gives back of them, and the same of its
 * values. Groups of heads are computed by the fused operation. No gradient passes.
 *
 * @param k, v float32 [tokens, KV heads · head dimension], the layer's own projections
 * @returns float32 [tokens, 2·(E + 1)]
 * @throws ArgumentError as `mixKv`
 */
export function distortions(k: Tensor2D, v: Tensor2D, formats: readonly KvFormat[]): Tensor2D {
  expectRows('distortions', k, formats);
  const measure = tf.customGrad((...args) => {
    const [k, v] = args as unknown as [Tensor2D, Tensor2D];
    const value = distortionsOf(k, v, groupingOf(formats) ? groupedLoss(k, v, formats) : lostByFormats(k, v, formats));
    return { value, gradFunc: () => [tf.zeros(k.shape), tf.zeros(v.shape)] };
  });
  return measure(k, v) as Tensor2D;
}

/** `lostByFormats` of formats that group heads: float32 [tokens, E] each. */
function groupedLoss(k: Tensor2D, v: Tensor2D, formats: readonly KvFormat[]): KeyValue<Tensor2D> {
  const grouping = groupingOf(formats)!;
  const [keys, values] = [k, v].map((x) =>
    tf.stack(
      grouping.groupSizes.map((size, expert): Tensor => {
        if (size === 1) return tf.zeros([x.shape[0]]);
        const all = tf.fill([x.shape[0]], expert, 'int32') as Tensor1D;
        return tf.sum(tf.squaredDifference(x, groupMean(x, all, grouping)), 1);
      }),
      1,
    ),
  ) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}

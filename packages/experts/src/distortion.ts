import { expectOptions, groupMean } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { Expert, KeyValue } from './expert';
import { distortionsByExperts } from './expert-distortion';
import { MIX_OPTIONS, type MixOptions } from './mix';

/**
 * What storing each token would lose: of its keys ‖k‖², then ‖k − k̂‖² with what each of E experts gives back of them, and the same of its
 * values. Grouped experts are computed by the fused operation. No gradient passes.
 *
 * @param k, v float32 [tokens, KV heads · head dimension], the layer's own projections
 * @param experts how they group heads, or experts of any type
 * @returns float32 [tokens, 2·(E + 1)]
 * @throws ArgumentError as `mixKv` and `mixKvByExperts`
 */
export function distortions(k: Tensor2D, v: Tensor2D, experts: MixOptions | readonly Expert[]): Tensor2D {
  if (!Array.isArray(experts)) expectOptions('distortions', experts as MixOptions, MIX_OPTIONS);
  const measure = tf.customGrad((...args) => {
    const [k, v] = args as unknown as [Tensor2D, Tensor2D];
    const errors = 'groupSizes' in experts ? groupedDistortions(k, v, experts) : distortionsByExperts(k, v, experts);
    const energy = (x: Tensor2D) => tf.sum(tf.square(x), 1, true);
    const value = tf.concat([energy(k), errors.k, energy(v), errors.v] as Tensor2D[], 1);
    return { value, gradFunc: () => [tf.zeros(k.shape), tf.zeros(v.shape)] };
  });
  return measure(k, v) as Tensor2D;
}

/** {@link distortionsByExperts} of experts that group heads: float32 [tokens, E] each. */
function groupedDistortions(k: Tensor2D, v: Tensor2D, options: MixOptions): KeyValue<Tensor2D> {
  const [keys, values] = [k, v].map((x) =>
    tf.stack(
      options.groupSizes.map((size, expert): Tensor => {
        if (size === 1) return tf.zeros([x.shape[0]]);
        const all = tf.fill([x.shape[0]], expert, 'int32') as Tensor1D;
        return tf.sum(tf.squaredDifference(x, groupMean(x, all, options)), 1);
      }),
      1,
    ),
  ) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}

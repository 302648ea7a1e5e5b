import { type FormatLayout, type KvFormat, validateGroupSizes } from '@mixsga/experts';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';

export interface LeadingHeadOptions extends FormatLayout {
  /** KV heads that the first of them stands for; a divisor of `kvHeads`. */
  readonly groupSize: number;
}

/**
 * Stores the first KV head of each group, and reads it back for all of the group: what grouping costs where nothing is averaged.
 * @throws ArgumentError when the group size does not divide the KV heads
 */
export function leadingHead({ kvHeads, headDim, groupSize }: LeadingHeadOptions): KvFormat {
  validateGroupSizes([groupSize], kvHeads);
  const groups = kvHeads / groupSize;
  const first = (x: Tensor) => tf.slice(tf.reshape(x, [-1, groups, groupSize, headDim]), [0, 0, 0, 0], [-1, groups, 1, headDim]);
  const spread = (x: Tensor) => tf.mul(x, tf.ones([1, 1, groupSize, 1]));
  return {
    name: `leading:${groupSize}`,
    kvHeads,
    headDim,
    stored: { heads: 2 * groups, headDim },
    encode: (k, v) => tf.tidy(() => tf.reshape(tf.concat([first(k), first(v)], 1), [...k.shape.slice(0, -2), 2 * groups, headDim])),
    decode(stored) {
      const heads = [...stored.shape.slice(0, -2), kvHeads, headDim];
      return tf.tidy(() => {
        const [k, v] = tf.split(tf.reshape(stored, [-1, 2 * groups, 1, headDim]), 2, 1) as [Tensor, Tensor];
        return { k: tf.reshape(spread(k), heads), v: tf.reshape(spread(v), heads) };
      });
    },
  };
}

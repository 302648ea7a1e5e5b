import { ArgumentError, expectOptions, type FormatLayout, type KvFormat, type OptionNames } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { validateGroupSizes } from '../group-sizes';

export interface KvGroupedOptions extends FormatLayout {
  /** KV heads that share a stored head of keys, and of values; divisors of `kvHeads`. */
  readonly groupSizes: { readonly k: number; readonly v: number };
}

const OPTIONS: OptionNames<KvGroupedOptions> = { kvHeads: true, headDim: true, groupSizes: { k: true, v: true } };

/**
 * Weight-shared grouped format whose keys are grouped differently from its values. The stored heads of the keys come first.
 * @throws ArgumentError when a group size does not divide the KV heads
 */
export function kvGroupedFormat(options: KvGroupedOptions): KvFormat {
  expectOptions('kvGroupedFormat', options, OPTIONS);
  const { kvHeads, headDim, groupSizes } = options;
  validateGroupSizes([groupSizes.k], kvHeads);
  validateGroupSizes([groupSizes.v], kvHeads);
  const stored = { k: kvHeads / groupSizes.k, v: kvHeads / groupSizes.v };

  function mean(x: Tensor, groupSize: number): Tensor {
    expectHeads('encode', x, kvHeads);
    return tf.reshape(tf.mean(tf.reshape(x, [-1, groupSize, headDim]), 1), [...x.shape.slice(0, -2), kvHeads / groupSize, headDim]);
  }

  function spread(x: Tensor, groupSize: number): Tensor {
    // A product with ones, since tile is far slower on wasm.
    const spread = tf.mul(tf.reshape(x, [-1, 1, headDim]), tf.ones([1, groupSize, 1]));
    return tf.reshape(spread, [...x.shape.slice(0, -2), kvHeads, headDim]);
  }

  function expectHeads(operation: string, x: Tensor, heads: number): void {
    if (x.shape.at(-2) === heads && x.shape.at(-1) === headDim) return;
    throw new ArgumentError(`grouped format: ${operation} expected shape [..., ${heads}, ${headDim}], got [${x.shape.join(', ')}]`);
  }

  return {
    name: `kv-grouped:k${groupSizes.k}v${groupSizes.v}`,
    kvHeads,
    headDim,
    stored: { heads: stored.k + stored.v, headDim },
    encode: (k, v) => tf.tidy(() => tf.concat([mean(k, groupSizes.k), mean(v, groupSizes.v)], k.rank - 2)),
    decode(x) {
      expectHeads('decode', x, stored.k + stored.v);
      return tf.tidy(() => {
        const [k, v] = tf.split(x, [stored.k, stored.v], x.rank - 2) as [Tensor, Tensor];
        return { k: spread(k, groupSizes.k), v: spread(v, groupSizes.v) };
      });
    },
  };
}

import { expectOptions, poolingFactor, storedGroups, type FormatLayout, type KvFormat, type OptionNames, type Pooling } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { kvGroupedFormat } from '../kv-grouped/kv-grouped';

export interface GroupedOptions extends FormatLayout {
  /** KV heads that share a stored head; a divisor of `kvHeads`. */
  readonly groupSize: number;
  /** What g heads become: their `mean` (the paper, the default), or with `root` their sum over √g. */
  readonly pooling?: Pooling;
}

const OPTIONS: OptionNames<GroupedOptions> = { kvHeads: true, headDim: true, groupSize: true, pooling: true };

/**
 * Weight-shared grouped format (paper section 3.3): stored head j is the mean of the KV heads j·g … (j+1)·g − 1,
 * and serves all of them. The stored heads of the keys come first.
 *
 * @throws ArgumentError when the group size does not divide the KV heads
 */
export function groupedFormat(options: GroupedOptions): KvFormat {
  expectOptions('groupedFormat', options, OPTIONS);
  const { kvHeads, headDim, groupSize, pooling = 'mean' } = options;
  const mean = kvGroupedFormat({ kvHeads, headDim, groupSizes: { k: groupSize, v: groupSize } });
  const factor = groupSize * poolingFactor(pooling, groupSize);
  return {
    ...mean,
    ...storedGroups({ kvHeads, headDim, groupSize, pooling }),
    meaningOf: ({ stored: { heads } }) => groupedFormat({ kvHeads, headDim, groupSize: (2 * kvHeads) / heads, pooling }),
    encode: (k, v) => (factor === 1 ? mean.encode(k, v) : tf.tidy(() => tf.mul(mean.encode(k, v), factor))),
  };
}

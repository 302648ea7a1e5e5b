import { ArgumentError } from '../../errors';
import { expectOptions, type OptionNames } from '../../options';
import { poolingFactor, type Pooling } from '../../inference/pooling';
import { halvings } from '../halvings';
import type { Coarsening, FormatLayout, StoredFormat } from '../stored-format';

export interface StoredGroupsOptions extends FormatLayout {
  /** KV heads that share a stored head; a divisor of `kvHeads`. */
  readonly groupSize: number;
  /** What a group of heads becomes. Default: their mean. */
  readonly pooling?: Pooling;
}

const OPTIONS: OptionNames<StoredGroupsOptions> = { kvHeads: true, headDim: true, groupSize: true, pooling: true };

/**
 * What is stored of a token whose KV heads share a stored head in groups: group size 1 is MHA, `kvHeads` is MQA. Groups nest, so that stored
 * heads are pooled again to be those of a multiple of the group size.
 * @throws ArgumentError when a count is not a whole number from 1, or the group size does not divide the KV heads
 */
export function storedGroups(options: StoredGroupsOptions): StoredFormat {
  expectOptions('storedGroups', options, OPTIONS);
  const { kvHeads, headDim, groupSize, pooling = 'mean' } = options;
  for (const [name, count] of Object.entries({ kvHeads, headDim })) {
    if (!Number.isInteger(count) || count < 1) throw new ArgumentError(`storedGroups: expected ${name} to be a whole number from 1, got ${count}`);
  }
  if (!Number.isInteger(groupSize) || groupSize < 1 || kvHeads % groupSize !== 0) {
    throw new ArgumentError(`storedGroups: expected a group size that divides ${kvHeads} KV heads, got ${groupSize}`);
  }
  const form = (size: number) => storedGroups({ kvHeads, headDim, groupSize: size, pooling });
  return {
    name: `grouped:${groupSize}${pooling === 'mean' ? '' : `:${pooling}`}`,
    kvHeads,
    headDim,
    stored: { heads: (2 * kvHeads) / groupSize, headDim },
    kernel: { kind: 'grouped', groupSize, pooling },
    coarser: {
      get ladder() {
        return halvings(kvHeads / groupSize).map((factor) => form(factor * groupSize));
      },
      sizes: { divide: kvHeads, form },
      to({ kernel }) {
        const nests = kernel?.kind === 'grouped' && kernel.pooling === pooling && kernel.groupSize > groupSize && kernel.groupSize % groupSize === 0;
        return nests ? pooled(headDim, pooling) : null;
      },
    },
  };
}

/** Each run of neighbouring heads becomes one. */
function pooled(headDim: number, pooling: Pooling): Coarsening {
  return {
    isNested: true,
    kernel: { kind: 'grouped', pooling },
    apply(from, to) {
      const groupSize = from.length / to.length;
      const factor = poolingFactor(pooling, groupSize);
      for (let i = 0; i < to.length; i++) {
        const first = Math.floor(i / headDim) * groupSize * headDim + (i % headDim);
        let sum = 0;
        for (let head = 0; head < groupSize; head++) sum += from[first + head * headDim]!;
        to[i] = sum * factor;
      }
    },
  };
}

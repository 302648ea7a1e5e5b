import { ArgumentError } from '../../errors';
import { expectOptions, type OptionNames } from '../../options';
import { halvings } from '../halvings';
import type { Coarsening, FormatLayout, StoredFormat } from '../stored-format';

export interface StoredLatentOptions extends FormatLayout {
  /** Dimensions of the latent. */
  readonly rank: number;
}

const OPTIONS: OptionNames<StoredLatentOptions> = { kvHeads: true, headDim: true, rank: true };

/**
 * What is stored of a token whose keys and values are one latent, the most important dimensions first. Leaving out the last ones compresses it
 * further: the rest is the latent of a lower rank. Sizes are divisors of the rank.
 * @throws ArgumentError when the rank is not a whole number from 1
 */
export function storedLatent(options: StoredLatentOptions): StoredFormat {
  expectOptions('storedLatent', options, OPTIONS);
  const { kvHeads, headDim, rank } = options;
  if (!Number.isInteger(rank) || rank < 1) throw new ArgumentError(`storedLatent: expected a rank that is a whole number from 1, got ${rank}`);
  const form = (size: number) => storedLatent({ kvHeads, headDim, rank: rank / size });
  return {
    name: `latent:${rank}`,
    kvHeads,
    headDim,
    stored: { heads: 1, headDim: rank },
    kernel: { kind: 'latent' },
    coarser: {
      get ladder() {
        return halvings(rank).map(form);
      },
      sizes: { divide: rank, form },
      to: ({ kernel, stored }) => (kernel?.kind === 'latent' && stored.headDim < rank && rank % stored.headDim === 0 ? leading : null),
    },
  };
}

/** The first dimensions of a vector. */
const leading: Coarsening = {
  isNested: true,
  kernel: { kind: 'latent' },
  apply: (from, to) => to.set(from.subarray(0, to.length)),
};

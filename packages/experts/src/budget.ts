import { ArgumentError } from '@mixsga/backend';
import { validateRatios } from './ratios';

/**
 * The share of the unmodified model's KV cache that a mix of experts stores: Σ ρ_e / s_e, without the expert index.
 * 3:1:6 at group sizes 1, 2, 4 gives 0.5.
 *
 * @param ratios capacity ratios, normalised or not
 * @param sizes as many: how many times fewer numbers each expert stores of a token, such as its group size
 * @throws ArgumentError when the numbers of both differ, a size is not a number from 1, or as {@link validateRatios}
 */
export function kvShare(ratios: readonly number[], sizes: readonly number[]): number {
  validateRatios(ratios, sizes.length);
  let stored = 0;
  let asked = 0;
  ratios.forEach((ratio, expert) => {
    const size = sizes[expert]!;
    if (!(size >= 1 && size < Infinity)) {
      throw new ArgumentError(`kvShare: expected sizes that are numbers from 1, got ${sizes.join(', ')}`);
    }
    stored += ratio / size;
    asked += ratio;
  });
  return stored / asked;
}

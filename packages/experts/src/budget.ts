import { ArgumentError } from '@mixsga/backend';
import { validateRatios } from './ratios';

/**
 * The share of the unmodified model's KV cache that a mix of grouped experts stores: Σ ρ_e / g_e, without the
 * expert index. 3:1:6 at sizes 1, 2, 4 gives 0.5.
 *
 * @param ratios capacity ratios, normalised or not
 * @param groupSizes as many
 * @throws ArgumentError when the numbers of both differ, a size is not a whole number from 1, or as
 *   {@link validateRatios}
 */
export function kvBudget(ratios: readonly number[], groupSizes: readonly number[]): number {
  validateRatios(ratios, groupSizes.length);
  let stored = 0;
  let asked = 0;
  ratios.forEach((ratio, expert) => {
    const size = groupSizes[expert]!;
    if (!Number.isInteger(size) || size < 1) {
      throw new ArgumentError(`kvBudget: expected group sizes that are whole numbers from 1, got ${groupSizes.join(', ')}`);
    }
    stored += ratio / size;
    asked += ratio;
  });
  return stored / asked;
}

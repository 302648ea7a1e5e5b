import { ArgumentError } from '@mixsga/backend';

/** The paper's group sizes for a number of experts: 1, 2, 4, … (section 3.3). */
export function defaultGroupSizes(experts: number): number[] {
  return Array.from({ length: experts }, (_, expert) => 2 ** expert);
}

/**
 * Checks group sizes: the number of consecutive KV heads that an expert averages into one stored head.
 *
 * @param groupSizes one for each expert, strictly increasing (the most expensive expert first)
 * @param kvHeads KV heads of the unmodified model, which each size has to divide
 * @throws ArgumentError when there is none, one is not a whole number from 1, does not divide `kvHeads`, or is not
 *   above the one before it
 */
export function validateGroupSizes(groupSizes: readonly number[], kvHeads: number): void {
  if (!Number.isInteger(kvHeads) || kvHeads < 1) {
    throw new ArgumentError(`group sizes: expected a whole number of KV heads from 1, got ${kvHeads}`);
  }
  if (groupSizes.length === 0) {
    throw new ArgumentError('group sizes: expected at least one, got none; give one for each expert');
  }
  const got = `got ${groupSizes.join(', ')}`;
  groupSizes.forEach((size, expert) => {
    if (!Number.isInteger(size) || size < 1) {
      throw new ArgumentError(`group sizes: expected whole numbers from 1, ${got}; write them like 1,2,4`);
    }
    if (kvHeads % size !== 0) {
      throw new ArgumentError(
        `group sizes: expected divisors of the ${kvHeads} KV heads, ${got}; replace ${size} by one of ${divisors(kvHeads)}`,
      );
    }
    if (expert > 0 && size <= groupSizes[expert - 1]!) {
      throw new ArgumentError(
        `group sizes: expected strictly increasing sizes, ${got}; the first expert keeps the most heads`,
      );
    }
  });
}

function divisors(n: number): string {
  return Array.from({ length: n }, (_, i) => i + 1)
    .filter((size) => n % size === 0)
    .join(', ');
}

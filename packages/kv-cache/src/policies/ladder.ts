import { ArgumentError } from '@mixsga/backend';

/**
 * The group sizes of the arenas of a cache that coarsens: those that tokens are stored with, then those that they can only be coarsened to,
 * in ascending order.
 *
 * @param divisible what sizes divide: the KV heads, or the numbers of an entry
 * @param targets default: the coarsest size doubled until it is enough, or as often as it divides these
 * @throws ArgumentError when one does not divide them, or no token could be coarsened
 */
export function ladder(groupSizes: readonly number[], divisible: number, targets: readonly number[] | undefined, enough: (size: number) => boolean): number[] {
  const misfit = targets?.find((size) => size < 1 || divisible % size !== 0);
  if (misfit !== undefined) throw new ArgumentError(`cache: expected sizes that divide ${divisible}, got ${misfit}`);
  const added = (targets ?? doublings(Math.max(...groupSizes), divisible, enough)).filter((size) => !groupSizes.includes(size));
  const sizes = [...groupSizes, ...[...new Set(added)].sort((a, b) => a - b)];
  if (sizes.some((_, arena) => coarserOf(sizes, arena) !== null)) return sizes;
  throw new ArgumentError(`cache: expected sizes that tokens can be coarsened to, got ${sizes.join(', ')} of ${divisible}`);
}

/** The arena that a token of an arena is coarsened to next, of the least group size that is a multiple; null at the coarsest. */
export function coarserOf(groupSizes: readonly number[], arena: number): number | null {
  const size = groupSizes[arena]!;
  let best: number | null = null;
  groupSizes.forEach((other, i) => {
    if (other > size && other % size === 0 && (best === null || other < groupSizes[best]!)) best = i;
  });
  return best;
}

function doublings(coarsest: number, divisible: number, enough: (size: number) => boolean): number[] {
  const sizes: number[] = [];
  for (let size = 2 * coarsest; divisible % size === 0; size *= 2) {
    sizes.push(size);
    if (enough(size)) break;
  }
  return sizes;
}

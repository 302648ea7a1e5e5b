import { ArgumentError } from '@mixsga/backend';

/**
 * The group sizes of a budgeted cache's arenas: those that tokens are stored with, then those that they can only be coarsened to,
 * in ascending order.
 *
 * @param targets default: the coarsest size doubled as often as it divides the heads
 * @throws ArgumentError when one does not divide the KV heads, or no token could be coarsened
 */
export function ladder(groupSizes: readonly number[], kvHeads: number, targets?: readonly number[]): number[] {
  const misfit = targets?.find((size) => size < 1 || kvHeads % size !== 0);
  if (misfit !== undefined) throw new ArgumentError(`KV budget: expected group sizes that divide ${kvHeads} KV heads, got ${misfit}`);
  const added = (targets ?? doublings(Math.max(...groupSizes), kvHeads)).filter((size) => !groupSizes.includes(size));
  const sizes = [...groupSizes, ...[...new Set(added)].sort((a, b) => a - b)];
  if (sizes.some((_, arena) => coarserOf(sizes, arena) !== null)) return sizes;
  throw new ArgumentError(`KV budget: expected group sizes that tokens can be coarsened to, got ${sizes.join(', ')} of ${kvHeads} KV heads`);
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

function doublings(coarsest: number, kvHeads: number): number[] {
  const sizes: number[] = [];
  for (let size = 2 * coarsest; kvHeads % size === 0; size *= 2) sizes.push(size);
  return sizes;
}

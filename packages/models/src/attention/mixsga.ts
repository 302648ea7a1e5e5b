import { ArgumentError } from '@mixsga/backend';
import { defaultGroupSizes, validateGroupSizes } from '@mixsga/experts';
import { groupedFormats } from './grouped';
import { formatGroups, kvCompression, kvGroupedFormats, parseGroups, type GroupSizes } from './kv-groups';
import { mixtureKind } from './mixture';
import type { AttentionKind } from './variant';

/** Mixture of weight-shared grouped attention experts (arXiv 2506.13541): each token is routed to a group size. */
export const mixsga = kindOf('mixsga', 'mean', 'tokens are routed, in these ratios, to experts of group sizes 1, 2, 4, ... or the given ones');

/**
 * mixSGA whose experts divide the sum of g heads by √g, not by g, so that the keys and values of every expert have the
 * same scale when the heads are independent. A change of this project to the method (docs/results.md).
 */
export const mixsgaRoot = kindOf('mixsga-root', 'root', 'the same, with the sum of g heads divided by √g instead of their mean');

function kindOf(name: string, pooling: 'mean' | 'root', description: string): AttentionKind {
  return mixtureKind<GroupSizes>({
    name,
    description,
    example: '3:1:6',
    parseSize: parseGroups,
    formatSize: formatGroups,
    defaultSizes: (experts) => defaultGroupSizes(experts).map((size) => ({ k: size, v: size })),
    compression: kvCompression,
    formats(sizes) {
      if (sizes.every(({ k, v }) => k === v)) return groupedFormats(sizes.map(({ k }) => k), pooling);
      if (pooling === 'mean') return kvGroupedFormats(sizes);
      throw new ArgumentError(`${name}: expected keys and values in groups of the same size, got ${sizes.map(formatGroups).join(',')}; use mixsga`);
    },
    check(sizes, { kvHeads }) {
      if (sizes.every(({ k, v }) => k === v)) return validateGroupSizes(sizes.map(({ k }) => k), kvHeads);
      for (const { k, v } of sizes) for (const size of [k, v]) validateGroupSizes([size], kvHeads);
      if (sizes.every((size, i) => i === 0 || kvCompression(size) > kvCompression(sizes[i - 1]!))) return;
      throw new ArgumentError(`${name}: expected experts that store fewer and fewer heads, got ${sizes.map(formatGroups).join(',')}`);
    },
  });
}

import { validateGroupSizes } from '@mixsga/experts';
import { groupedFormats } from './grouped';
import { formatGroups, kvCompression, kvGroupedFormats, parseGroups } from './kv-groups';
import type { AttentionKind } from './variant';

/**
 * Grouped-query attention (Ainslie et al. 2023): runs of KV heads share one projection in every layer. Where keys and values differ, projections
 * stay as they are and their means are stored.
 */
export const gqa: AttentionKind = {
  form: 'gqa:GROUP_SIZE',
  example: 'gqa:2',
  description: 'each run of that many KV heads shares one; with k4v2 keys in runs of 4, values in runs of 2',
  parse(parameters) {
    const sizes = parseGroups(parameters ?? '');
    if (!sizes) return null;
    const isAlike = sizes.k === sizes.v;
    return {
      spec: `gqa:${formatGroups(sizes)}`,
      kvShare: 1 / kvCompression(sizes),
      experts: null,
      formats: isAlike ? groupedFormats([1]) : kvGroupedFormats([sizes]),
      storedKvHeads: (kvHeads) => (isAlike ? kvHeads / sizes.k : kvHeads),
      kvSource: (layer) => layer,
      validate({ kvHeads }) {
        for (const size of isAlike ? [sizes.k] : [sizes.k, sizes.v]) validateGroupSizes([size], kvHeads);
      },
    };
  },
};

import { storedGroups } from '@mixsga/backend';
import { createFormat, type Pooling } from '@mixsga/experts';
import type { LayerFormats } from './variant';

/** Formats that keep one head of each group of KV heads. A mean of keys turns as keys do. */
export function groupedFormats(groupSizes: readonly number[], pooling: Pooling = 'mean'): LayerFormats {
  return {
    takesRotatedKeys: true,
    grouping: { groupSizes, pooling },
    stored: ({ kvHeads, headDim }) => groupSizes.map((groupSize) => storedGroups({ kvHeads, headDim, groupSize, pooling })),
    create: ({ kvHeads, headDim }) => groupSizes.map((groupSize) => createFormat('grouped', { kvHeads, headDim, groupSize, pooling })),
  };
}

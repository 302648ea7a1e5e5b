import { validateGroupSizes } from '@mixsga/experts';
import { parseCount } from './parse-count';
import type { AttentionKind } from './variant';

/** Grouped-query attention (Ainslie et al. 2023): runs of KV heads share one projection in every layer. */
export const gqa: AttentionKind = {
  form: 'gqa:GROUP_SIZE',
  example: 'gqa:2',
  description: 'each run of that many KV heads shares one',
  parse(parameters) {
    const groupSize = parseCount(parameters);
    if (groupSize === null) return null;
    return {
      spec: `gqa:${groupSize}`,
      kvBudget: 1 / groupSize,
      experts: null,
      storedKvHeads: (kvHeads) => kvHeads / groupSize,
      kvSource: (layer) => layer,
      validate: ({ kvHeads }) => validateGroupSizes([groupSize], kvHeads),
    };
  },
};

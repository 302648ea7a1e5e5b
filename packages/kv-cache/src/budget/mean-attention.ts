import type { BudgetKind } from './policy';

/**
 * The tokens with the least attention for each query that saw them lose heads first. What a sum over the sequence gives to old tokens
 * for their age does not count; where it was measured this lost less (docs/results.md). The newest, as many as fill half of the bytes
 * at the finest, go last: a mean over few queries says little.
 */
export const meanAttention: BudgetKind = {
  description: 'the tokens with the least attention a query first, the newest last',
  create: (options) => ({
    ...options,
    accumulate: (score, probability) => score + probability,
    importance({ positions, scores, tokensSeen, capacity }) {
      const newest = tokensSeen - Math.floor(capacity / 2);
      return scores.map((score, i) => (positions[i]! < newest ? score / (tokensSeen - positions[i]!) : Infinity));
    },
  }),
};

import type { BudgetKind } from './policy';

/**
 * The tokens with the least attention accumulated over the whole sequence lose heads first. As in H2O, which evicts by the same
 * number, the newest go last: they had few queries yet. These are as many as fill half of the bytes at the finest.
 */
export const attention: BudgetKind = {
  description: 'the tokens with the least accumulated attention first, the newest last',
  create: (options) => ({
    ...options,
    accumulate: (score, probability) => score + probability,
    importance({ positions, scores, tokensSeen, capacity }) {
      const newest = tokensSeen - Math.floor(capacity / 2);
      return scores.map((score, i) => (positions[i]! < newest ? score : Infinity));
    },
  }),
};

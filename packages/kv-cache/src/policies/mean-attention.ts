import { unless, type CachePolicy } from './policy';

/**
 * The tokens with the least attention for each query that saw them go first, so that old tokens gain nothing from their age, as they do from a
 * sum over the sequence. Where it was measured for coarsening, this lost less (docs/results.md). The newest, half of the capacity rounded up, go
 * last: a mean over few queries says little.
 */
export const meanAttention: CachePolicy = {
  name: 'mean-attention',
  description: 'the tokens with the least attention a query first, the newest half last',
  accumulate: (score, probability) => score + probability,
  rank(tokens) {
    const { scores, tokensSeen, capacity } = tokens;
    const newest = tokensSeen - Math.ceil(capacity / 2);
    return unless(tokens, (position) => position >= newest, (i, position) => scores[i]! / (tokensSeen - position));
  },
};

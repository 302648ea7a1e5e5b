import { unless, type CachePolicy } from './policy';

/**
 * H2O (Zhang et al., 2023): the tokens with the least attention accumulated over the whole sequence go first. The newest, half of the capacity
 * rounded up, go last: few queries have seen them yet. The paper keeps tokens for each head, this a token with all its heads.
 */
export const h2o: CachePolicy = {
  name: 'h2o',
  description: 'the tokens with the least attention so far first, the newest half last',
  accumulate: (score, probability) => score + probability,
  rank(tokens) {
    const { scores, tokensSeen, capacity } = tokens;
    const newest = tokensSeen - Math.ceil(capacity / 2);
    return unless(tokens, (position) => position >= newest, (i) => scores[i]!);
  },
};

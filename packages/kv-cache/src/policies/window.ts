import { unless, type CachePolicy } from './policy';

/** The first tokens, which take attention that no other token wants. */
const SINKS = 4;

/**
 * StreamingLLM (Xiao et al., 2023): the oldest go first, but for the first 4, which stay. It needs no attention. Tokens keep the positions that
 * they were computed at; the paper numbers them anew.
 */
export const window: CachePolicy = {
  name: 'window',
  description: 'the oldest tokens first, but for the first 4, which stay',
  rank(tokens) {
    const sinks = Math.min(SINKS, tokens.capacity - 1);
    return unless(tokens, (position) => position < sinks, (_, position) => position);
  },
};

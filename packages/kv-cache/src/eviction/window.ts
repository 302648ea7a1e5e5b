import { between, capacityOf, lowest, parseRatio, type EvictionKind } from './policy';

/** Of the first tokens, which take attention that no other token wants. */
const SINKS = 4;

/**
 * `window:R`, StreamingLLM (Xiao et al., 2023): keeps the first 4 tokens and the newest, ⌈R · maxTokens⌉ of a layer in all.
 * It needs no attention. Tokens keep the positions that they were computed at; the paper numbers them anew.
 */
export const window: EvictionKind = {
  form: 'window:R',
  example: 'window:0.5',
  parse(argument) {
    const ratio = parseRatio(argument);
    if (ratio === null) return null;
    return (options) => {
      const spec = `window:${ratio}`;
      const capacity = capacityOf(spec, ratio, options);
      const sinks = Math.min(SINKS, capacity - 1);
      return {
        spec,
        capacity,
        evict: (tokens, count) => lowest(tokens, between(tokens, sinks, tokens.tokensSeen), tokens.positions, count),
      };
    };
  },
};

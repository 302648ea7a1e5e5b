import { between, capacityOf, lowest, parseRatio, type EvictionKind } from './policy';

/**
 * `h2o:R`, H2O (Zhang et al., 2023): a layer keeps ⌈R · maxTokens⌉ tokens. Half of these, rounded up, are the newest; the
 * others are the heavy hitters, those with the most attention accumulated over the whole sequence. The paper keeps tokens
 * for each head, this a token with all its heads.
 */
export const h2o: EvictionKind = {
  form: 'h2o:R',
  example: 'h2o:0.6',
  parse(argument) {
    const ratio = parseRatio(argument);
    if (ratio === null) return null;
    return (options) => {
      const spec = `h2o:${ratio}`;
      const capacity = capacityOf(spec, ratio, options);
      const newest = Math.ceil(capacity / 2);
      return {
        spec,
        capacity,
        accumulate: (score, probability) => score + probability,
        evict: (tokens, count) => lowest(tokens, between(tokens, 0, tokens.tokensSeen - newest), tokens.scores, count),
      };
    };
  },
};

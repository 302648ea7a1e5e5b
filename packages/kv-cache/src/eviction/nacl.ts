import { SeededRandom } from '@mixsga/backend';
import { between, capacityOf, lowest, parseRatio, type EvictionKind, type KeptTokens } from './policy';

const SINKS = 4;
/** Of what is neither sink nor newest, the share that is chosen by score; the rest is left to chance. As the authors' code. */
const BY_SCORE = 12 / 19;

/**
 * `nacl:R` or `nacl:R:SEED`, after NACL (Chen et al., 2024): a layer keeps ⌈R · maxTokens⌉ tokens. These are 4 sinks; the
 * newest tenth, which are the proxy tokens; of the others 12 in 19 by the attention of the proxies (proxy-token eviction),
 * and 7 in 19 drawn without replacement with probability softmax(score) (random eviction).
 *
 * The paper evicts once, after the prompt, for each head; its proxies are the prompt's last tokens. Here it goes on in
 * decoding, a token goes with all its heads, and "the attention of the latest P queries" is a sum in which a query
 * counts 1 − 1/P less with each later one. Of a prompt only each token's attention summed over all queries is known,
 * whence their mean stands for each of them. Draws depend on the seed, layer and number of tokens alone, so that a restored or
 * truncated cache goes on with the same.
 */
export const nacl: EvictionKind = {
  form: 'nacl:R or nacl:R:SEED',
  example: 'nacl:0.6',
  parse(argument) {
    const [, share, seedText = '0'] = /^([^:]*)(?::(\d{1,9}))?$/.exec(argument ?? '') ?? [];
    const ratio = parseRatio(share ?? null);
    if (ratio === null) return null;
    const seed = Number(seedText);
    return (options) => {
      const spec = seed === 0 ? `nacl:${ratio}` : `nacl:${ratio}:${seed}`;
      const capacity = capacityOf(spec, ratio, options);
      const proxies = Math.ceil(capacity / 10);
      const sinks = Math.min(SINKS, capacity - proxies);
      const byScore = Math.round((capacity - proxies - sinks) * BY_SCORE);
      const decay = 1 - 1 / proxies;
      return {
        spec,
        capacity,
        accumulate(score, probability, queries) {
          const left = decay ** queries;
          return score * left + (probability / queries) * proxies * (1 - left);
        },
        evict(tokens, count) {
          const others = between(tokens, sinks, tokens.tokensSeen - proxies);
          return lowest(tokens, ...leftToChance(tokens, others, others.length - byScore, seed), count);
        },
      };
    };
  },
};

/**
 * The `count` candidates of the lowest scores, with keys of which the highest are a draw without replacement with
 * probability softmax(score) (Gumbel-top-k). Candidates that tie with the last of them are among them.
 */
function leftToChance(
  { layer, tokensSeen, scores }: KeptTokens,
  candidates: readonly number[],
  count: number,
  seed: number,
): [candidates: number[], keys: Float64Array] {
  const sorted = new Float32Array(candidates.length);
  for (let i = 0; i < sorted.length; i++) sorted[i] = scores[candidates[i]!]!;
  const limit = sorted.sort()[count - 1]!;
  const random = new SeededRandom(seed, layer, tokensSeen);
  const keys = new Float64Array(scores.length);
  const low = candidates.filter((i) => scores[i]! <= limit);
  for (const i of low) keys[i] = scores[i]! - Math.log(-Math.log(1 - random.next()));
  return [low, keys];
}

import { SeededRandom } from '@mixsga/backend';
import type { CachePolicy, RankedTokens } from './policy';

const SINKS = 4;
/** Of what is neither sink nor newest, the share that is kept by score; the rest is left to chance. As in the authors' code. */
const BY_SCORE = 12 / 19;

/**
 * After NACL (Chen et al., 2024). Last to go are 4 sinks and the newest tenth, which are the proxy tokens. Of the others 12 in 19 stay by the
 * attention of the proxies (proxy-token eviction), and 7 in 19 are drawn without replacement with probability softmax(score) (random eviction).
 *
 * The paper evicts once, after the prompt, for each head; its proxies are the prompt's last tokens. Here it continues in decoding, a token goes
 * with all its heads, and "the attention of the latest P queries" is a sum in which a query counts 1 − 1/P less with each later one. Of a prompt
 * only each token's attention summed over all queries is known, so their mean stands for each of them. Draws depend on the seed, layer and number
 * of tokens alone, so that a restored or truncated cache continues with the same ones.
 */
export const nacl: CachePolicy = {
  name: 'nacl',
  description: 'the tokens with the least attention of late first, some at random; 4 sinks and the newest tenth last',
  draws: true,
  accumulate(score, probability, queries, capacity) {
    const proxies = proxiesOf(capacity);
    const left = (1 - 1 / proxies) ** queries;
    return score * left + (probability / queries) * proxies * (1 - left);
  },
  rank(tokens) {
    const { tokensSeen, capacity, positions } = tokens;
    const proxies = proxiesOf(capacity);
    const sinks = Math.max(0, Math.min(SINKS, capacity - proxies));
    const byScore = Math.round(Math.max(0, capacity - proxies - sinks) * BY_SCORE);
    const others = [...positions.keys()].filter((i) => positions[i]! >= sinks && positions[i]! < tokensSeen - proxies);
    return leftToChance(tokens, others, others.length - byScore);
  },
};

function proxiesOf(capacity: number): number {
  return Math.max(1, Math.ceil(capacity / 10));
}

/**
 * Keys for the `count` candidates of the lowest scores, of which the highest are a draw without replacement with probability softmax(score)
 * (Gumbel-top-k). Candidates that tie with the last of them are among them. The other candidates go after these, and all other tokens last.
 */
function leftToChance({ layer, tokensSeen, scores, seed }: RankedTokens, candidates: readonly number[], count: number): Float64Array {
  const keys = new Float64Array(scores.length).fill(Infinity);
  for (const i of candidates) keys[i] = Number.MAX_VALUE;
  if (count < 1) return keys;
  const limit = Float32Array.from(candidates, (i) => scores[i]!).sort()[count - 1]!;
  const random = new SeededRandom(seed, layer, tokensSeen);
  for (const i of candidates) if (scores[i]! <= limit) keys[i] = scores[i]! - Math.log(-Math.log(1 - random.next()));
  return keys;
}

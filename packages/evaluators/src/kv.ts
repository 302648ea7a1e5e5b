import { defineEvaluator } from './evaluator';
import type { KvTraits, LanguageModel, Routing } from './language-model';
import { routing, type RoutingResult } from './routing';

export interface KvResult {
  /** Bytes per token as asked for by the ratios, the expert index included. */
  kvBytesPerToken: number;
  /** Bytes per token of the unmodified model. */
  kvBytesPerTokenFull: number;
  /** Share of the unmodified KV cache as asked for, the expert index not counted. */
  kvBudget: number;
  /** The same from the experts that tokens really get under each routing rule; null where the model does not route. */
  realised: Record<Routing, { kvBudget: number; kvBytesPerToken: number }> | null;
}

/**
 * KV cache per token, asked and realised. Expert choice realises the asked ratios up to its ceilings; under decode
 * routing nothing enforces them, so a model that drifts to costlier experts shows it here.
 *
 * @param routed what `routing` measured; null or left out where the model does not route
 */
export function kvAccounting(model: { readonly kv: KvTraits }, routed: RoutingResult | null = null): KvResult {
  const { kv } = model;
  const stored = (ratios: readonly number[]) =>
    ratios.reduce((sum, ratio, e) => sum + ratio / kv.groupSizes[e]!, 0);
  const under = (rule: Routing) => {
    const kvBudget = (kv.budget * stored(routed!.ratios[rule])) / stored(kv.ratios);
    // The index costs the same whatever the expert, so only the stored heads change.
    return { kvBudget, kvBytesPerToken: kv.bytesPerToken + (kvBudget - kv.budget) * kv.bytesPerTokenFull };
  };
  return {
    kvBytesPerToken: kv.bytesPerToken,
    kvBytesPerTokenFull: kv.bytesPerTokenFull,
    kvBudget: kv.budget,
    realised: routed && { prefill: under('prefill'), decode: under('decode') },
  };
}

export default defineEvaluator({
  name: 'kv',
  description: 'KV cache bytes per token and share of the unmodified cache, asked and realised',
  evaluate: async (model: LanguageModel, tokens, options) => kvAccounting(model, await routing(model, tokens, options)),
});

import type { KvTraits, Routing } from '@mixsga/backend';
import { fieldsOfCache } from '@mixsga/kv-cache';

import { defineEvaluator, type EvaluationOptions } from './evaluator';
import { continueGreedily } from './greedy';
import type { LanguageModel } from './language-model';
import { disjointWindows, routes, routingEvaluator, type RoutingResult, type RoutingSample } from './routing';
import type { TextWindow } from './windows';

export interface KvResult {
  /** Bytes per token as asked for by the ratios, the expert index included. */
  readonly kvBytesPerToken: number;
  /** Bytes per token of the unmodified model. */
  readonly kvBytesPerTokenFull: number;
  /** Share of the unmodified KV cache as asked for, the expert index not counted. */
  readonly kvBudget: number;
  /** The same from the experts that tokens really get under each routing rule; null where the model does not route. */
  readonly realised: Record<Routing, { kvBudget: number; kvBytesPerToken: number }> | null;
}

/** What the cache of a generation reports of itself. */
export interface CacheUse {
  /** Tokens that were prefilled, under expert choice, and those that were decoded, each by its arg max. */
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Tokens that went into the cache: all but the last. */
  readonly tokensSeen: number;
  readonly kvBytesUsed: number;
  readonly kvBytesAllocated: number;
  readonly expertCounts: readonly number[];
}

/** Windows are routed; the prompt is continued through a cache. */
type KvItem = { readonly window: TextWindow } | { readonly prompt: Int32Array; readonly newTokens: number };
type KvSample = { readonly routed: RoutingSample } | { readonly cache: CacheUse };

/**
 * KV cache per token, asked and realised. Expert choice realises the asked ratios up to its ceilings; under decode
 * routing nothing enforces them, so a model that drifts to costlier experts shows it here.
 *
 * @param routed what `routing` measured; null or left out where the model does not route
 */
export function kvAccounting(model: { readonly kv: KvTraits }, routed: Pick<RoutingResult, 'ratios'> | null = null): KvResult {
  const { kv } = model;
  const stored = (ratios: readonly number[]) => ratios.reduce((sum, ratio, e) => sum + ratio / kv.groupSizes[e]!, 0);
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

/**
 * {@link kvAccounting} over the windows of a text, beside the bytes that a real cache reports: the first half of the first
 * window is prefilled, and the likeliest tokens after it fill the window. That cache has the limit `cache`.
 */
export const kvAccountingEvaluator = defineEvaluator<KvItem, KvSample, LanguageModel>({
  name: 'kv_accounting',
  description: 'KV cache bytes per token and share of the unmodified cache: asked, realised, and as a cache reports',
  definition: 'stored heads of each token under its expert, the packed expert index included in bytes',
  version: 1,
  reads: 'tokens',
  evicts: true,
  higherIsBetter: [],
  items(model, { tokens }, options) {
    const windows = disjointWindows('kv_accounting', model, tokens!, options);
    const length = windows[0]!.tokens.length - 1;
    const prompt = windows[0]!.tokens.slice(0, Math.ceil(length / 2));
    return [...windows.map((window) => ({ window })), { prompt, newTokens: Math.max(1, length - prompt.length) }];
  },
  async measure(model, items, options) {
    const windows = items.flatMap((item) => ('window' in item ? [item.window] : []));
    const samples: KvSample[] = (await routingEvaluator.measure(model, windows, options)).map((routed) => ({ routed }));
    for (const item of items) if ('prompt' in item) samples.push({ cache: await useCache(model, item, options) });
    return samples;
  },
  summarise(samples, model, options) {
    const routed = samples.flatMap((sample) => ('routed' in sample ? [sample.routed] : []));
    const cache = samples.flatMap((sample) => ('cache' in sample ? [sample.cache] : []))[0]!;
    const measured = routes(model) ? (routingEvaluator.summarise(routed, model, options).details as unknown as RoutingResult) : null;
    const result = kvAccounting(model, measured);
    return {
      metrics: {
        kv_budget: result.kvBudget,
        kv_budget_prefill: result.realised?.prefill.kvBudget ?? null,
        kv_budget_decode: result.realised?.decode.kvBudget ?? null,
        kv_bytes_per_token: result.kvBytesPerToken,
        kv_bytes_per_token_cache: cache.kvBytesUsed / cache.tokensSeen,
      },
      details: { ...result, cache, ...fieldsOfCache(options.cache) },
    };
  },
});

async function useCache(
  model: LanguageModel,
  { prompt, newTokens: maxNewTokens }: Extract<KvItem, { prompt: Int32Array }>,
  options: EvaluationOptions,
): Promise<CacheUse> {
  const stats = await continueGreedily(model, prompt, maxNewTokens, options);
  const { promptTokens, newTokens, tokensSeen, kvBytesUsed, kvBytesAllocated, expertCounts } = stats;
  return { promptTokens, newTokens, tokensSeen, kvBytesUsed, kvBytesAllocated, expertCounts };
}

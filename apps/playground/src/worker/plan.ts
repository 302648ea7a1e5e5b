// What a run will take, before it runs.
import { cacheOfFields, type CacheSpec, capacityOf, resolveCacheSpec, type StoredToken } from '@mixsga/kv-cache';
import { kvBytes, parseAttention, storedTokens, type ModelReport } from '@mixsga/models';
import type { Kept, Variant, VariantPlan } from '../protocol';

/** Of each layer of the model, the layer of the cache that it reads. */
export function cacheLayers(attention: string, layers: number): number[] {
  const { kvSource } = parseAttention(attention);
  const sources = Array.from({ length: layers }, (_, layer) => kvSource(layer));
  const storing = [...new Set(sources)];
  return sources.map((source) => storing.indexOf(source));
}

/** Layers that store keys and values of their own. */
export function storingLayers(attention: string, layers: number): number {
  return new Set(cacheLayers(attention, layers)).size;
}

/**
 * The KV cache of one sequence at its end, if tokens get experts in the ratios asked for.
 * @param report of the model under the variant's attention
 * @param tokens in the cache without eviction; the length that the sequence can reach is one more
 * @throws ArgumentError when there is no such policy
 */
export function planVariant(report: ModelReport, variant: Variant, tokens: number): VariantPlan {
  const { attention } = variant;
  const asked = parseAttention(attention);
  const kept = keptOf(attention, report, storedTokens(report, asked));
  const placed = kvBytes(report, asked, 'f32', true);
  const spec = resolveCacheSpec(limitOf(report, variant, tokens));
  if (!spec) return { bytes: tokens * report.kvBytesPerToken, tokensKept: tokens, kept };
  const { limit } = spec;
  if ('tokens' in limit) {
    const tokensKept = Math.min(tokens, capacityOf(limit.tokens, tokens + 1));
    return { bytes: tokensKept * placed, tokensKept, kept };
  }
  const bytes = Math.min(tokens * placed, 'bytes' in limit ? limit.bytes : Math.floor(limit.share * tokens * placed));
  return { bytes, tokensKept: spec.action === 'evict' ? Math.floor(bytes / placed) : tokens, kept };
}

/** What keeps the cache of a variant small: its policy, or a share of the unmodified cache of `tokens` tokens. @throws ArgumentError when there is no such policy */
export function limitOf(report: ModelReport, { eviction, kvBudget }: Variant, tokens: number): CacheSpec | 'none' {
  return cacheOfFields({ eviction, kvBudget: kvBudget === undefined ? undefined : Math.floor(kvBudget * tokens * report.kvBytesPerTokenFull) }) ?? 'none';
}

/**
 * What is kept of a token in a layer of the model, by the expert that stores it.
 * @param stored in a layer of the cache, as the cache has it, or as the variant asks for it before there is one
 */
export function keptOf(attention: string, report: Pick<ModelReport, 'kvHeads' | 'headDim' | 'layers' | 'kvBytesPerTokenFull'>, stored: readonly StoredToken[]): Kept[] {
  const { kvHeads, headDim, layers, kvBytesPerTokenFull } = report;
  const storing = storingLayers(attention, layers);
  const ofHeads = parseAttention(attention).formats.grouping !== null;
  const sharing = storing === layers ? '' : `, shared by ${Number((layers / storing).toFixed(1))} layers`;
  return stored.map((each) => {
    const heads = each.heads / 2;
    const dimensions = `${each.heads * each.headDim} of ${2 * kvHeads * headDim} dimensions`;
    const text = ofHeads ? `${heads === kvHeads ? 'all' : `${heads} of`} ${kvHeads} heads` : dimensions;
    return { share: (each.bytes * storing) / kvBytesPerTokenFull, text: text + sharing };
  });
}

/** New tokens that a prompt leaves room for. */
export function newTokensOf(asked: number, promptTokens: number, contextLength: number): number {
  return Math.max(1, Math.min(asked, contextLength - promptTokens));
}

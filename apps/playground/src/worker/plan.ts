// What a run will take, before it runs.
import { parseEviction } from '@mixsga/kv-cache';
import { parseAttention, type ModelReport } from '@mixsga/models';
import type { Variant, VariantPlan } from '../protocol';

/** Bytes by which a cache with an eviction policy or a KV budget knows a token of a layer: its position and its score. */
const PLACE_BYTES = 8;

/** Layers that store keys and values of their own. */
export function storingLayers(attention: string, layers: number): number {
  const { kvSource } = parseAttention(attention);
  return new Set(Array.from({ length: layers }, (_, layer) => kvSource(layer))).size;
}

/**
 * The KV cache of one sequence at its end, if tokens get experts in the ratios asked for.
 * @param report of the model under the variant's attention
 * @param tokens in the cache without eviction; the length that the sequence can reach is one more
 * @throws ArgumentError when there is no such policy
 */
export function planVariant(report: ModelReport, { attention, eviction, kvBudget }: Variant, tokens: number): VariantPlan {
  const groupSizes = parseAttention(attention).experts?.sizes ?? [1];
  const layers = storingLayers(attention, report.layers);
  // In place of the packed index of the expert.
  const index = Math.floor((layers * Math.ceil(Math.log2(groupSizes.length))) / 8);
  const placed = report.kvBytesPerToken - index + layers * PLACE_BYTES;
  if (kvBudget !== undefined) return { bytes: Math.min(tokens * placed, budgetBytes(report, kvBudget, tokens)), tokensKept: tokens, groupSizes };
  const policy = parseEviction(eviction)({ maxTokens: tokens + 1 });
  if (!policy) return { bytes: tokens * report.kvBytesPerToken, tokensKept: tokens, groupSizes };
  const tokensKept = Math.min(tokens, policy.capacity);
  return { bytes: tokensKept * placed, tokensKept, groupSizes };
}

/** A KV budget in bytes, of a share of the unmodified cache of so many tokens. */
export function budgetBytes(report: ModelReport, share: number, tokens: number): number {
  return Math.floor(share * tokens * report.kvBytesPerTokenFull);
}

/** New tokens that a prompt leaves room for. */
export function newTokensOf(asked: number, promptTokens: number, contextLength: number): number {
  return Math.max(1, Math.min(asked, contextLength - promptTokens));
}

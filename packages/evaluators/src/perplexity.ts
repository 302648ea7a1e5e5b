import { ArgumentError, type Routing } from '@mixsga/backend';
import { type CacheFields, fieldsOfCache, type StreamedNll } from '@mixsga/kv-cache';

import { defineEvaluator, type EvaluationOptions } from './evaluator';
import { finite } from './finite';
import type { LanguageModel, LikelihoodModel } from './language-model';
import { runEvaluator, type RunOptions } from './run';
import { batchesOfOneLength, cutWindows, type TextWindow, type WindowBatch } from './windows';

/** Of one window: what its counted predictions cost. */
export interface PerplexitySample {
  /** Sum of −log p over them, nats. */
  readonly nll: number;
  readonly tokens: number;
  /** Where the window went through a cache: the tokens that went in, and the bytes that it used after the last. */
  readonly cache?: { readonly tokens: number; readonly bytes: number };
}

export interface PerplexityResult extends CacheFields {
  /** exp(nll). */
  readonly perplexity: number;
  /** Mean negative log-likelihood in nats per token. */
  readonly nll: number;
  /** Bytes that the caches used after the last token of each window, per token that went in; only where windows go through caches. */
  readonly kv_bytes_per_token_cache?: number;
  /** Predictions counted. */
  readonly tokens: number;
  readonly windows: number;
  readonly windowLength: number;
  readonly stride: number;
  readonly routing: Routing;
}

/**
 * Windowed token perplexity: exp of the mean negative log-likelihood over every token but the first, each predicted
 * from the tokens of its window before it. The last, shorter window counts like the others, token by token. A
 * window's first prediction sees one token. For several documents, take the tokens of `joinDocuments(documents)`.
 *
 * Under `prefill` routing later tokens of the window influence the experts of earlier ones, so that number is not
 * strictly autoregressive. With `cache`, which needs decode routing and a model with `streamNll`, every window
 * goes token by token through a KV cache of its own.
 */
export const perplexityEvaluator = defineEvaluator<TextWindow, PerplexitySample, LikelihoodModel>({
  name: 'perplexity',
  description: 'windowed token perplexity under the given routing',
  definition: 'windowed token perplexity',
  version: 1,
  reads: 'tokens',
  evicts: true,
  higherIsBetter: [],
  items(model, { tokens }, options) {
    checkLimits(model, options);
    return cutWindows('perplexity', tokens!, model.contextLength, options);
  },
  async measure(model, items, options) {
    const samples: PerplexitySample[] = [];
    const { onPart } = options;
    for (const batch of batchesOfOneLength(items)) {
      const tell = onPart && ((share: number) => onPart((batch.first + share * batch.windows) / items.length));
      const { nll, kvBytesUsed } = await batchNll(model, batch, { ...options, ...(tell && { onPart: tell }) });
      for (let row = 0; row < batch.windows; row++) {
        const { counted, where = `window ${batch.first + row}` } = items[batch.first + row]!;
        const values = nll.subarray(row * batch.length + counted, (row + 1) * batch.length);
        samples.push({ nll: finite('perplexity', values.reduce((sum, value) => sum + value, 0), where), tokens: values.length, ...(kvBytesUsed && { cache: { tokens: batch.length, bytes: kvBytesUsed[row]! } }) });
      }
    }
    return samples;
  },
  summarise(samples, { contextLength }, { routing, windowLength = contextLength, stride = windowLength, cache }) {
    const tokens = samples.reduce((sum, sample) => sum + sample.tokens, 0);
    const nll = samples.reduce((sum, sample) => sum + sample.nll, 0) / tokens;
    return {
      metrics: { perplexity: Math.exp(nll), nll, ...bytesPerToken(samples) },
      details: { tokens, windows: samples.length, windowLength, stride, routing, ...fieldsOfCache(cache) },
    };
  },
});

/** {@link perplexityEvaluator} on some tokens. @throws ArgumentError for an option out of range or too few tokens */
export async function perplexity(
  model: LikelihoodModel,
  tokens: Int32Array,
  options: RunOptions<PerplexitySample>,
): Promise<PerplexityResult> {
  const { metrics, details } = await runEvaluator(perplexityEvaluator, model, { name: 'tokens', tokens }, options);
  return { ...metrics, ...details } as unknown as PerplexityResult;
}

/** Documents as one text, a blank line between two: the text that windowed token perplexity is defined on. */
export function joinDocuments(documents: readonly string[]): string {
  return documents.join('\n\n');
}

function bytesPerToken(samples: readonly PerplexitySample[]): Pick<PerplexityResult, 'kv_bytes_per_token_cache'> {
  const caches = samples.flatMap(({ cache }) => cache ?? []);
  if (caches.length === 0) return {};
  const sum = (key: 'bytes' | 'tokens') => caches.reduce((total, cache) => total + cache[key], 0);
  return { kv_bytes_per_token_cache: sum('bytes') / sum('tokens') };
}

/** nll is row-major [windows, length]. */
async function batchNll(model: LikelihoodModel, batch: WindowBatch, options: EvaluationOptions): Promise<Pick<StreamedNll, 'nll'> & Partial<StreamedNll>> {
  const { inputs, targets, windows } = batch;
  const { routing, cache, signal, onPart: onProgress } = options;
  if (cache === undefined) return { nll: (await model.likelihood(inputs, targets, { windows, routing, signal, onProgress })).nll };
  return (model as LanguageModel).streamNll(inputs, targets, { windows, cache, signal, onProgress });
}

function checkLimits(model: LikelihoodModel, options: EvaluationOptions): void {
  if (options.cache === undefined) return;
  const limit = fieldsOfCache(options.cache).kvBudget === undefined ? 'eviction' : 'a KV budget';
  if (options.routing !== 'decode') {
    throw new ArgumentError(`perplexity: expected decode routing with ${limit}, which goes token by token, got ${options.routing}`);
  }
  if (!('streamNll' in model)) throw new ArgumentError(`perplexity: expected a model with streamNll for ${limit}, got one without`);
}

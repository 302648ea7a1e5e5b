import { ArgumentError } from '@mixsga/backend';

import { defineEvaluator, type EvaluationOptions } from './evaluator';
import type { LanguageModel, LikelihoodModel, Routing } from './language-model';
import { runEvaluator, type RunOptions } from './run';
import { batchesOfOneLength, cutWindows, type TextWindow, type WindowBatch } from './windows';

/** Of one window: what its counted predictions cost. */
export interface PerplexitySample {
  /** Sum of −log p over them, nats. */
  readonly nll: number;
  readonly tokens: number;
}

export interface PerplexityResult {
  /** exp(nll). */
  readonly perplexity: number;
  /** Mean negative log-likelihood in nats per token. */
  readonly nll: number;
  /** Predictions counted. */
  readonly tokens: number;
  readonly windows: number;
  readonly windowLength: number;
  readonly stride: number;
  readonly routing: Routing;
  /** As asked for; left out without one. */
  readonly eviction?: string;
}

/**
 * Windowed token perplexity: exp of the mean negative log-likelihood over every token but the first, each predicted
 * from the tokens of its window before it. The last, shorter window counts like the others, token by token. A
 * window's first prediction sees one token. For several documents, take the tokens of `joinDocuments(documents)`.
 *
 * Under `prefill` routing later tokens of the window influence the experts of earlier ones, so that number is not
 * strictly autoregressive. With `eviction`, which needs decode routing and a model with `streamNll`, every window goes
 * token by token through a KV cache of its own.
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
    checkEviction(model, options);
    return cutWindows('perplexity', tokens!, model.contextLength, options);
  },
  async measure(model, items, options) {
    const samples: PerplexitySample[] = [];
    for (const batch of batchesOfOneLength(items)) {
      const nll = await batchNll(model, batch, options);
      for (let row = 0; row < batch.windows; row++) {
        const { counted } = items[batch.first + row]!;
        const values = nll.subarray(row * batch.length + counted, (row + 1) * batch.length);
        samples.push({ nll: values.reduce((sum, value) => sum + value, 0), tokens: values.length });
      }
    }
    return samples;
  },
  summarise(samples, { contextLength }, { routing, eviction, windowLength = contextLength, stride = windowLength }) {
    const tokens = samples.reduce((sum, sample) => sum + sample.tokens, 0);
    const nll = samples.reduce((sum, sample) => sum + sample.nll, 0) / tokens;
    return {
      metrics: { perplexity: Math.exp(nll), nll },
      details: { tokens, windows: samples.length, windowLength, stride, routing, ...(eviction !== undefined && { eviction }) },
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

/** Row-major [windows, length]. */
async function batchNll(model: LikelihoodModel, batch: WindowBatch, options: EvaluationOptions): Promise<Float32Array> {
  const { inputs, targets, windows } = batch;
  const { routing, eviction, signal } = options;
  if (eviction === undefined) return (await model.likelihood(inputs, targets, { windows, routing })).nll;
  return (model as LanguageModel).streamNll(inputs, targets, { windows, eviction, ...(signal && { signal }) });
}

function checkEviction(model: LikelihoodModel, { eviction, routing }: { eviction?: string; routing: Routing }): void {
  if (eviction === undefined) return;
  if (routing !== 'decode') {
    throw new ArgumentError(`perplexity: expected decode routing with eviction, which goes token by token, got ${routing}`);
  }
  if (!('streamNll' in model)) throw new ArgumentError('perplexity: expected a model with streamNll for eviction, got one without');
}

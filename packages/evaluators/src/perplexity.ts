import { ArgumentError, nextTask } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';

import { defineEvaluator } from './evaluator';
import type { LanguageModel, Routing } from './language-model';
import { batches, planWindows, type WindowBatch, type WindowOptions } from './windows';

export interface PerplexityOptions extends WindowOptions {
  /** No default: a perplexity means nothing without it. */
  routing: Routing;
  /**
   * Eviction policy, such as `h2o:0.6`: every window goes token by token through a KV cache that keeps this share of it.
   * Needs decode routing and a model with `streamNll`. Default: no cache, all tokens of the window.
   */
  eviction?: string;
}

export interface PerplexityResult {
  /** exp(nll). */
  perplexity: number;
  /** Mean negative log-likelihood in nats per token. */
  nll: number;
  /** Predictions counted. */
  tokens: number;
  windows: number;
  routing: Routing;
  /** As asked for; left out without one. */
  eviction?: string;
  windowLength: number;
  stride: number;
  definition: 'windowed token perplexity';
}

/**
 * Windowed token perplexity: exp of the mean negative log-likelihood over every token but the first, each predicted
 * from the tokens of its window before it. The last, shorter window counts like the others, token by token. A
 * window's first prediction sees one token. For several documents, pass the tokens of `joinDocuments(documents)`.
 *
 * Under `prefill` routing later tokens of the window influence the experts of earlier ones, so that number is not
 * strictly autoregressive.
 *
 * @param tokens token ids, 2 or more
 * @throws ArgumentError for an option out of range or too few tokens
 */
export async function perplexity(
  model: LanguageModel,
  tokens: Int32Array,
  options: PerplexityOptions,
): Promise<PerplexityResult> {
  const { routing, eviction, onProgress, signal } = options;
  checkEviction(model, options);
  const plan = planWindows('perplexity', tokens.length, model.contextLength, options);
  let sum = 0;
  let counted = 0;
  let windows = 0;
  for (const batch of batches(tokens, plan)) {
    await nextTask();
    signal?.throwIfAborted();
    const values = await (eviction === undefined
      ? batchNll(model, batch, routing)
      : model.streamNll!(batch.inputs, batch.targets, { windows: batch.windows.length, eviction, signal }));
    batch.windows.forEach((window, row) => {
      for (let t = window.counted; t < batch.length; t++) sum += values[row * batch.length + t]!;
      counted += batch.length - window.counted;
    });
    windows += batch.windows.length;
    onProgress?.({ windows, of: plan.windows.length });
  }
  const nll = sum / counted;
  return {
    perplexity: Math.exp(nll),
    nll,
    tokens: counted,
    windows,
    routing,
    ...(eviction === undefined ? {} : { eviction }),
    windowLength: plan.windowLength,
    stride: plan.stride,
    definition: 'windowed token perplexity',
  };
}

/** Row-major [windows, length]. */
async function batchNll(model: LanguageModel, batch: WindowBatch, routing: Routing): Promise<ArrayLike<number>> {
  const shape: [number, number] = [batch.windows.length, batch.length];
  const nll = tf.tidy(() =>
    model.tokenNll(tf.tensor2d(batch.inputs, shape, 'int32'), tf.tensor2d(batch.targets, shape, 'int32'), { routing }),
  );
  const values = await nll.data();
  nll.dispose();
  return values;
}

function checkEviction(model: LanguageModel, { eviction, routing }: PerplexityOptions): void {
  if (eviction === undefined) return;
  if (routing !== 'decode') {
    throw new ArgumentError(`perplexity: expected decode routing with eviction, which goes token by token, got ${routing}`);
  }
  if (!model.streamNll) throw new ArgumentError('perplexity: expected a model with streamNll for eviction, got one without');
}

/** Documents as one text, a blank line between two: the text that windowed token perplexity is defined on. */
export function joinDocuments(documents: readonly string[]): string {
  return documents.join('\n\n');
}

export default defineEvaluator({
  name: 'perplexity',
  description: 'windowed token perplexity under the given routing',
  evaluate: perplexity,
});

import { expectOptions } from '@mixsga/backend';
import {
  evaluators,
  kvAccounting,
  type LikelihoodModel,
  perplexity,
  routing,
  type Routing,
  type RoutingResult,
} from '@mixsga/evaluators';

import type { Example } from '../data/examples';

/** A value under each routing rule. */
export interface Both<T> {
  decode: T;
  prefill: T;
}

export interface Validation {
  /** Of the tokens: windowed of a text, of the responses alone of instructions. */
  perplexity: Both<number>;
  /** Share of tokens to which both rules give the same expert; null where the model does not route. */
  agreement: number | null;
  /** Share of tokens of each expert, mean over layers; null where the model does not route. */
  realisedRatios: Both<number[]> | null;
  /** Share of the unmodified KV cache that those ratios cost; null where the model does not route. */
  realisedKvBudget: Both<number> | null;
  /** The same in bytes per token, the expert index included. */
  realisedKvBytesPerToken: Both<number> | null;
}

/** How a validation goes through its text. */
export interface ValidationOptions {
  /** Predictions in a window. Default: the model's context length. */
  windowLength?: number;
  /** Windows that go through the model together. */
  batchSize?: number;
  /** Measures this many windows, spread evenly over the text. Default all. */
  maxWindows?: number;
  signal?: AbortSignal;
}

export interface ResponsesOptions {
  /** Rows that go through the model together. */
  batchSize: number;
  /** Of prompt and response. */
  maxTokens: number;
  signal?: AbortSignal | undefined;
}

/** Measures a model on a text under both routing rules. */
export async function validate(model: LikelihoodModel, tokens: Int32Array, options: ValidationOptions): Promise<Validation> {
  expectOptions('validate', options, { windowLength: true, batchSize: true, maxWindows: true, signal: true });
  const decode = await perplexity(model, tokens, { ...options, routing: 'decode' });
  const routed = await routing(model, tokens, options);
  if (routed === null) return validationOf(model, { decode: decode.perplexity, prefill: decode.perplexity }, null);
  const prefill = await perplexity(model, tokens, { ...options, routing: 'prefill' });
  return validationOf(model, { decode: decode.perplexity, prefill: prefill.perplexity }, routed);
}

/**
 * Measures a model on instructions under both routing rules: the perplexity of the tokens of the responses, EOS among them, each row by
 * itself without padding. Routing is counted over prompts too.
 */
export async function validateResponses(
  model: LikelihoodModel,
  examples: readonly Example[],
  options: ResponsesOptions,
): Promise<Validation> {
  expectOptions('validateResponses', options, { batchSize: true, maxTokens: true, signal: true });
  const { batchSize, maxTokens, signal } = options;
  // Rows of one length go through the model together. Predictions are counted from the first token of the response on.
  const windows = examples.map(({ tokens, prompt }, i) => ({ tokens, counted: prompt - 1, where: `example ${i + 1}` })).sort((a, b) => a.tokens.length - b.tokens.length);
  const over = async <Sample>(measure: (some: typeof windows) => Promise<readonly Sample[]>): Promise<Sample[]> => {
    const samples: Sample[] = [];
    for (let i = 0; i < windows.length; i += batchSize) {
      signal?.throwIfAborted();
      samples.push(...(await measure(windows.slice(i, i + batchSize))));
    }
    return samples;
  };
  const perplexityUnder = async (rule: Routing): Promise<number> => {
    const samples = await over((some) => evaluators.perplexity.measure(model, some, { routing: rule }));
    return Math.exp(sum(samples.map(({ nll }) => nll)) / sum(samples.map(({ tokens }) => tokens)));
  };
  const decode = await perplexityUnder('decode');
  if (model.kv.ratios.length === 1) return validationOf(model, { decode, prefill: decode }, null);
  const settings = { routing: 'decode', windowLength: maxTokens } as const;
  const samples = await over((some) => evaluators.routing.measure(model, some, settings));
  const { metrics, details } = evaluators.routing.summarise(samples, model, settings);
  return validationOf(model, { decode, prefill: await perplexityUnder('prefill') }, { ...metrics, ...details } as unknown as RoutingResult);
}

function validationOf(model: LikelihoodModel, perplexity: Both<number>, routed: RoutingResult | null): Validation {
  const { realised } = kvAccounting(model, routed);
  const both = <K extends 'kvBudget' | 'kvBytesPerToken'>(key: K) => realised && { decode: realised.decode[key], prefill: realised.prefill[key] };
  return {
    perplexity,
    agreement: routed?.agreement ?? null,
    realisedRatios: routed?.ratios ?? null,
    realisedKvBudget: both('kvBudget'),
    realisedKvBytesPerToken: both('kvBytesPerToken'),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The numbers of a validation as metrics of a training curve. */
export function validationMetrics({ perplexity, agreement }: Validation): Record<string, number> {
  return { decode: perplexity.decode, prefill: perplexity.prefill, ...(agreement === null ? {} : { agreement }) };
}

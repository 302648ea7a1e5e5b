import { ArgumentError } from '@mixsga/backend';
import { fieldsOfCache } from '@mixsga/kv-cache';

import { defineEvaluator } from './evaluator';
import { continueGreedily } from './greedy';
import { median } from './statistics';
import { cutWindows } from './windows';

/** Measurements where no number is asked for. */
const REPETITIONS = 5;
/** Tokens that are decoded at most. The first comes with the prefill. */
const NEW_TOKENS = 129;

export interface Item {
  readonly prompt: Int32Array;
  readonly newTokens: number;
}

export interface ThroughputSample {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly prefillTokensPerSecond: number;
  readonly tokensPerSecond: number;
  readonly kvBytesUsed: number;
  readonly kvBytesAllocated: number;
}

/**
 * Speed of one sequence: tokens a second of a prompt's prefill and of the greedy decoding after it, the medians over windows
 * of the text. `windowLength` is the length of the prompt (default: half of the context length), `maxWindows` the
 * number of repetitions (default 5); up to 128 tokens are decoded, as the context length leaves.
 */
export const throughput = defineEvaluator<Item, ThroughputSample>({
  name: 'throughput',
  description: 'tokens a second in prefill and in decode, medians over some prompts',
  definition: 'tokens over wall-clock time, one sequence, greedy, medians over repetitions',
  version: 1,
  reads: 'tokens',
  evicts: true,
  higherIsBetter: ['prefill_tokens_per_second', 'decode_tokens_per_second'],
  items({ contextLength }, { tokens }, { windowLength = Math.ceil(contextLength / 2), maxWindows = REPETITIONS }) {
    const newTokens = Math.min(NEW_TOKENS, contextLength - windowLength);
    if (newTokens < 2) {
      throw new ArgumentError(
        `throughput: expected windowLength, the length of a prompt, to leave 2 tokens or more of the model's context length ${contextLength}, got ${windowLength}`,
      );
    }
    const windows = cutWindows('throughput', tokens!, contextLength, { windowLength, maxWindows });
    return windows.map((window) => ({ prompt: window.tokens.slice(0, -1), newTokens }));
  },
  async measure(model, items, options) {
    const samples: ThroughputSample[] = [];
    for (const { prompt, newTokens: maxNewTokens } of items) {
      const stats = await continueGreedily(model, prompt, maxNewTokens, options);
      const { promptTokens, newTokens, prefillTokensPerSecond, tokensPerSecond, kvBytesUsed, kvBytesAllocated } = stats;
      samples.push({
        promptTokens,
        newTokens,
        prefillTokensPerSecond: prefillTokensPerSecond!,
        tokensPerSecond: tokensPerSecond!,
        kvBytesUsed,
        kvBytesAllocated,
      });
    }
    return samples;
  },
  summarise(samples, _model, options) {
    const middle = (name: keyof ThroughputSample) => median(samples.map((sample) => sample[name]));
    return {
      metrics: { prefill_tokens_per_second: middle('prefillTokensPerSecond'), decode_tokens_per_second: middle('tokensPerSecond') },
      details: {
        repetitions: samples.length,
        promptTokens: middle('promptTokens'),
        newTokens: middle('newTokens'),
        kvBytesUsed: middle('kvBytesUsed'),
        ...fieldsOfCache(options.cache),
      },
    };
  },
});

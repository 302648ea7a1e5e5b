import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import type { EvaluationOptions } from './evaluator';
import type { LanguageModel } from './language-model';
import { runEvaluator } from './run';
import { BigramModel } from './testing';
import { throughput } from './throughput';

const inner = new BigramModel({ logits: [[0, 0], [0, 0]], contextLength: 16 });
/** Each generation is faster than the one before, and prefill twice as fast. */
function accelerating(): LanguageModel {
  let speed = 0;
  return Object.assign(Object.create(inner) as LanguageModel, {
    contextLength: 16,
    generate(...given: Parameters<LanguageModel['generate']>) {
      const generation = inner.generate(...given);
      const speeds = { tokensPerSecond: (speed += 10), prefillTokensPerSecond: 2 * speed };
      return { ...generation, stats: () => ({ ...generation.stats(), ...speeds }) };
    },
  });
}
const run = (options: Partial<EvaluationOptions> = {}) =>
  runEvaluator(throughput, accelerating(), { name: 'text', tokens: new Int32Array(200) }, { routing: 'decode', ...options });

describe('throughput', () => {
  it('gives medians over repetitions', async () => {
    const { metrics, details, samples } = await run();
    expect(samples.map(({ tokensPerSecond }) => tokensPerSecond)).toEqual([10, 20, 30, 40, 50]);
    expect(metrics).toEqual({ prefill_tokens_per_second: 60, decode_tokens_per_second: 30 });
    expect(details).toEqual({ repetitions: 5, promptTokens: 8, newTokens: 8, kvBytesUsed: 15 * 1024 });
  });

  it('takes the length of the prompt and the repetitions from the options', async () => {
    const { metrics, details } = await run({ windowLength: 12, maxWindows: 2, cache: 'none' });
    expect(metrics).toEqual({ prefill_tokens_per_second: 30, decode_tokens_per_second: 15 });
    expect(details).toMatchObject({ repetitions: 2, promptTokens: 12, newTokens: 4, eviction: 'none' });
  });

  it.each([15, 16, 20])('refuses a prompt of %i tokens, which leaves no room', async (windowLength) => {
    await expect(run({ windowLength })).rejects.toThrow(ArgumentError);
    await expect(run({ windowLength })).rejects.toThrow(
      `throughput: expected windowLength, the length of a prompt, to leave 2 tokens or more of the model's context length 16, got ${windowLength}`,
    );
  });
});

import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import type { LanguageModel, LikelihoodModel } from './language-model';
import { joinDocuments, perplexity } from './perplexity';
import { BigramModel } from './testing';

/** 0 1 2 0 1 2 … */
const cycle = (count: number) => Int32Array.from({ length: count }, (_, i) => i % 3);
const LOG_TABLE = [
  [0, Math.log(2), Math.log(5)], // after 0: 1/8, 2/8, 5/8
  [Math.log(3), 0, 0], // after 1: 3/5, 1/5, 1/5
  [Math.log(7), Math.log(2), 0], // after 2: 7/10, 2/10, 1/10
];
const bigram = (contextLength = 16) => new BigramModel({ logits: LOG_TABLE, contextLength });
const decode = { routing: 'decode' } as const;

/** Each prediction costs 1 / (tokens read so far) nats: what a window sees is seen in the sum. */
const contextModel: LikelihoodModel = {
  contextLength: 8,
  kv: { bytesPerToken: 512, bytesPerTokenFull: 512, budget: 1, groupSizes: [1], ratios: [1] },
  likelihood: (inputs, _targets, { windows }) => Promise.resolve({ nll: Float32Array.from(inputs, (_, i) => 1 / (1 + (i % (inputs.length / windows)))) }),
  routingOf: () => Promise.resolve([]),
};
const harmonic = (n: number) => Array.from({ length: n }, (_, i) => 1 / (i + 1)).reduce((a, b) => a + b, 0);

describe('perplexity', () => {
  it('is the size of the vocabulary for a uniform model', async () => {
    const uniform = new BigramModel({ logits: Array.from({ length: 37 }, () => new Array<number>(37).fill(0)) });
    const tokens = Int32Array.from({ length: 101 }, (_, i) => (i * i) % 37);
    expect((await perplexity(uniform, tokens, decode)).perplexity).toBeCloseTo(37, 3);
  });

  it('equals the closed form of a bigram table', async () => {
    const model = bigram();
    // 100 tokens make 99 predictions, 33 of each of 0→1 (2/8), 1→2 (1/5), 2→0 (7/10).
    const expected = Math.pow(0.25 * 0.2 * 0.7, -1 / 3);
    const result = await perplexity(model, cycle(100), decode);
    expect(result.perplexity).toBeCloseTo(expected, 5);
    expect(result.nll).toBeCloseTo(Math.log(expected), 6);
    expect(result).toMatchObject({
      tokens: 99, windows: 7, windowLength: 16, stride: 16, routing: 'decode',
    });
  });

  it('does not depend on window, stride or batch where the model does not look back', async () => {
    const model = bigram();
    const reference = await perplexity(model, cycle(50), decode);
    for (const options of [{ windowLength: 1 }, { windowLength: 7 }, { windowLength: 7, stride: 2 }, { batchSize: 1 }, { batchSize: 3 }]) {
      const result = await perplexity(model, cycle(50), { ...decode, ...options });
      expect(result.tokens).toBe(49);
      expect(result.nll).toBeCloseTo(reference.nll, 6);
    }
  });

  it('weighs the short last window by its tokens', async () => {
    // 21 predictions in windows of 8: 8, 8, 5.
    const { nll } = await perplexity(contextModel, cycle(22), decode);
    expect(nll).toBeCloseTo((2 * harmonic(8) + harmonic(5)) / 21, 6);
  });

  it('gives every prediction after the first window stride-many tokens more context', async () => {
    // Windows of 8 by 4: the first counts 8 predictions, the next ones their last 4, each after 4 to 7 earlier ones.
    const { nll, windows } = await perplexity(contextModel, cycle(21), { ...decode, stride: 4 });
    expect(windows).toBe(4);
    expect(nll).toBeCloseTo((harmonic(8) + 3 * (harmonic(8) - harmonic(4))) / 20, 6);
  });

  it('passes the routing on and repeats exactly', async () => {
    const asked: string[] = [];
    const model: LikelihoodModel = {
      ...contextModel,
      likelihood(inputs, targets, options) {
        asked.push(options.routing);
        return contextModel.likelihood(inputs, targets, options);
      },
    };
    const first = await perplexity(model, cycle(40), { routing: 'prefill' });
    expect(first.routing).toBe('prefill');
    expect(new Set(asked)).toEqual(new Set(['prefill']));
    expect(await perplexity(model, cycle(40), { routing: 'prefill' })).toEqual(first);
  });

  it('reports how much of its windows a model has done, and gives it the signal to stop by', async () => {
    const aborter = new AbortController();
    const model: LikelihoodModel = {
      ...contextModel,
      async likelihood(inputs, targets, options) {
        for (const share of [0.25, 0.5]) options.onProgress!(share);
        options.signal!.throwIfAborted();
        return contextModel.likelihood(inputs, targets, options);
      },
    };
    const seen: number[] = [];
    const options = { ...decode, batchSize: 3, signal: aborter.signal };
    // 4 windows of 8 predictions and one of 4: the second batch has two lengths.
    await perplexity(model, cycle(37), { ...options, onProgress: ({ done }) => seen.push(done) });
    expect(seen).toEqual([0, 0.75, 1.5, 3, 3.25, 3.5, 4.25, 4.5, 5]);
    const run = perplexity(model, cycle(37), { ...options, onProgress: ({ done }) => done > 1 && aborter.abort(new Error('enough')) });
    await expect(run).rejects.toThrow('enough');
  });

  it('reports progress and stops when aborted', async () => {
    const model = bigram(4);
    const aborter = new AbortController();
    const seen: number[] = [];
    const run = perplexity(model, cycle(41), {
      ...decode,
      batchSize: 2,
      signal: aborter.signal,
      onProgress: ({ done, of }) => {
        expect(of).toBe(10);
        seen.push(done);
        if (done === 4) aborter.abort(new Error('enough'));
      },
    });
    await expect(run).rejects.toThrow('enough');
    expect(seen).toEqual([0, 2, 4]);
  });

  it('is stopped by a timer, though the backend never waits', async () => {
    await expect(perplexity(contextModel, cycle(400_000), { ...decode, signal: AbortSignal.timeout(20) })).rejects.toThrow('timeout');
  });
});

describe('perplexity under eviction', () => {
  /** A window's cache keeps 4 tokens: 1, 1/2, 1/3, 1/4, 1/4, … nats. */
  const asked: unknown[] = [];
  const streaming: LikelihoodModel & Pick<LanguageModel, 'streamNll'> = {
    ...contextModel,
    streamNll: async (inputs, targets, { windows, ...options }) => {
      asked.push({ windows, tokens: inputs.length, first: targets[0], ...options });
      const length = inputs.length / windows;
      const nll = Float32Array.from(inputs, (_, i) => 1 / Math.min(4, (i % length) + 1));
      return Promise.resolve({ nll, kvBytesUsed: Array.from({ length: windows }, () => 100 * Math.min(4, length)) });
    },
  };

  it('goes through the cache, window by window, and names the policy', async () => {
    const signal = new AbortController().signal;
    const result = await perplexity(streaming, cycle(22), { ...decode, cache: 'h2o:0.5', batchSize: 8, signal });
    // 21 predictions in windows of 8, 8, 5.
    expect(result.nll).toBeCloseTo((3 * harmonic(4) + (4 + 4 + 1) / 4) / 21, 6);
    expect(result).toMatchObject({ eviction: 'h2o:0.5', routing: 'decode', tokens: 21, windows: 3, kv_bytes_per_token_cache: 1200 / 21 });
    expect(asked).toEqual([
      { windows: 2, tokens: 16, first: 1, cache: 'h2o:0.5', signal },
      { windows: 1, tokens: 5, first: 2, cache: 'h2o:0.5', signal },
    ]);
    const whole = await perplexity(streaming, cycle(22), decode);
    for (const key of ['eviction', 'kv_bytes_per_token_cache']) expect(whole).not.toHaveProperty(key);
  });

  it('needs decode routing and a model with a cache', async () => {
    const prefill = perplexity(streaming, cycle(22), { routing: 'prefill', cache: 'h2o:0.5' });
    await expect(prefill).rejects.toThrow(ArgumentError);
    await expect(prefill).rejects.toThrow('perplexity: expected decode routing with eviction, which goes token by token, got prefill');
    await expect(perplexity(contextModel, cycle(22), { ...decode, cache: 'h2o:0.5' })).rejects.toThrow(
      'perplexity: expected a model with streamNll for eviction, got one without',
    );
  });
});

describe('joinDocuments', () => {
  it('puts a blank line between documents', () => {
    expect(joinDocuments(['one', 'two'])).toBe('one\n\ntwo');
  });
});

import { startBackend } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertModel } from '../checkpoints/convert';
import type { DecoderOptions } from '../decoder/cached-decoder';
import type { ModelConfig } from '../config/shape';
import { createDecoder } from '../decoder/create-decoder';
import { fromPretrained } from '../checkpoints/from-pretrained';
import { languageModel } from './language-model';
import { tinyConfig, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';

beforeAll(async () => void (await startBackend('wasm')));

/** A tiny model with the tokenizer of another. */
async function tinyModel(form: TinyForm, attention: string, options?: DecoderOptions) {
  const published = tinyConfig(form);
  const values = tinyValues(published, 5);
  const converted: { config: ModelConfig; values: ReadonlyMap<string, Float32Array> } =
    attention === 'mha' ? { config: published, values } : convertModel(published, values, attention);
  const decoder = await createDecoder(converted.config, converted.values, options);
  const { decoder: other, tokenizer } = await fromPretrained('sotu-mini');
  other.dispose();
  return { decoder, model: languageModel({ decoder, tokenizer, config: converted.config, stopTokens: [2], prefixToken: 1 }) };
}

describe('languageModel', () => {
  it('takes windows one by one', async () => {
    const { decoder, model } = await tinyModel('gemma2', 'mixsga:3:1:6');
    const [inputs, targets] = [tinyTokens(36, 1), tinyTokens(36, 2)];
    const options = { routing: 'prefill', windows: 3 } as const;
    const { nll, greedy } = await model.likelihood(inputs, targets, { ...options, collapsed: 4 });
    const layers = await model.routingOf(inputs, options);
    expect(layers.map(({ prefill, decode, scores }) => [prefill.length, decode.length, scores.length])).toEqual(new Array(4).fill([36, 36, 108]));
    for (const first of [0, 12, 24]) {
      const [x, y] = [inputs.subarray(first, first + 12), targets.subarray(first, first + 12)];
      const alone = await decoder.likelihood(x, y, { routing: 'prefill', collapsed: 4 });
      expect(nll.subarray(first, first + 12)).toEqual(alone.nll);
      expect(greedy.subarray(first, first + 12)).toEqual(alone.greedy);
      const routing = await decoder.routingOf(x, { routing: 'prefill' });
      for (const [i, { prefill, scores }] of routing.entries()) {
        expect(layers[i]!.prefill.subarray(first, first + 12)).toEqual(prefill);
        expect(layers[i]!.scores.subarray(3 * first, 3 * (first + 12))).toEqual(scores);
      }
    }
    expect(await model.routingOf(inputs, { routing: 'decode', windows: 2 })).toHaveLength(4);
    decoder.dispose();
  });

  // 4 layers of 4 KV heads of 4 under 8 query heads: 128 numbers a token.
  it.each<[string, number, number[], number]>([
    ['mha', 512, [1], 1],
    ['gqa:2', 256, [2], 0.5],
    ['cla:2', 256, [1], 0.5],
    ['mixsga:3:1:6', 256 + 1, [1, 2, 4], 0.5],
  ])('tells the KV cache of %s, relative to KV heads', async (attention, bytes, groupSizes, budget) => {
    const { decoder, model } = await tinyModel('llama', attention);
    expect(model.kv).toMatchObject({ bytesPerToken: bytes, bytesPerTokenFull: 512, groupSizes });
    expect(model.kv.budget).toBeCloseTo(budget, 12);
    expect(model).toMatchObject({ contextLength: 80, prefixToken: 1, stopTokens: [2] });
    decoder.dispose();
  });

  it('tells the bytes of an int8 cache, and measures through one', async () => {
    const { decoder, model } = await tinyModel('llama', 'gqa:2', { kv: 'int8' });
    // Heads of 4: 8 bytes in place of 16.
    expect(model.kv).toMatchObject({ bytesPerToken: 128, bytesPerTokenFull: 256, budget: 0.5 });
    const [inputs, targets] = [tinyTokens(20, 1), tinyTokens(20, 2)];
    const { nll, kvBytesUsed } = await model.streamNll(inputs, targets, { windows: 2 });
    expect(kvBytesUsed).toEqual([1280, 1280]);
    const { nll: whole } = await model.likelihood(inputs, targets, { windows: 2, routing: 'decode' });
    whole.forEach((value, i) => expect(value).toBeCloseTo(nll[i]!, 2));
    decoder.dispose();
  });

  it('streams through caches that evict, and generates', async () => {
    const { decoder, model } = await tinyModel('llama', 'gqa:2');
    const [inputs, targets] = [tinyTokens(24, 1), tinyTokens(24, 2)];
    const { nll } = await model.likelihood(inputs, targets, { routing: 'decode', windows: 2 });
    const { nll: streamed, kvBytesUsed } = await model.streamNll(inputs, targets, { windows: 2, cache: 'none' });
    expect(kvBytesUsed).toEqual([12 * model.kv.bytesPerToken, 12 * model.kv.bytesPerToken]);
    streamed.forEach((value, i) => expect(Math.abs(value - nll[i]!)).toBeLessThan(1e-4));
    const { nll: evicted, kvBytesUsed: left } = await model.streamNll(inputs, targets, { windows: 2, cache: 'h2o:0.5' });
    expect(left[0]).toBeLessThan(0.6 * kvBytesUsed[0]!);
    expect(evicted.subarray(0, 6)).toEqual(streamed.subarray(0, 6));
    expect(Math.abs(evicted[11]! - streamed[11]!)).toBeGreaterThan(1e-4);
    const generation = model.generate([[1, 2, 3], [4]], { maxNewTokens: 3, seeds: [5, 6], temperature: 1 });
    let events = 0;
    for await (const { token } of generation) events += token >= 0 ? 1 : 0;
    expect(events).toBe(6);
    expect(generation.tokens(1)).toHaveLength(3);
    decoder.dispose();
  });

  it('refuses tokens that are not windows', async () => {
    const { decoder, model } = await tinyModel('opt', 'mha');
    const tokens = tinyTokens(10, 1);
    const inWindows = (windows: number, targets = tokens) => model.likelihood(tokens, targets, { routing: 'decode', windows });
    const message = 'expected windows of the same length with a token or more each, got 10 tokens in 3 windows';
    await expect(inWindows(3)).rejects.toThrow(`likelihood: ${message}`);
    await expect(model.routingOf(tokens, { routing: 'decode', windows: 3 })).rejects.toThrow(`routingOf: ${message}`);
    await expect(model.streamNll(tokens, tokens, { windows: 3, cache: 'none' })).rejects.toThrow(`streamNll: ${message}`);
    await expect(inWindows(2, tokens.subarray(1))).rejects.toThrow('likelihood: expected a target for each of 10 tokens, got 9');
    decoder.dispose();
  });
});

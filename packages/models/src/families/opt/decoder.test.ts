import { ArgumentError, describeBackends, startBackend, trackTensors, useReferenceKernels } from '@mixsga/backend';
import type { WeightType } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { parseOptConfig } from './config';
import { createDecoder } from '../../decoder/create-decoder';
import { distance, feed, inOnePass } from '../../testing/decoding';
import { createTrainable } from '../../training/model';
import { randomParameters } from '../../training/random-parameters';

const VOCABULARY = 50;

function configOf(attention: string) {
  return parseOptConfig(
    {
      model_type: 'opt', vocab_size: VOCABULARY, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 8, ffn_dim: 48,
      max_position_embeddings: 80, init_std: 0.3,
      ...(attention === 'mha' ? {} : { mixsga: { attention } }),
    },
    'test',
  );
}

function tokensOf(count: number, seed: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * i * 7 + i * 3 + seed * 11) % VOCABULARY);
}

/** A decoder of random weights on the active backend. */
function decoderOf(attention: string, { weights, seed = 5 }: { weights?: WeightType; seed?: number } = {}) {
  const config = configOf(attention);
  return createDecoder(config, randomParameters(config, seed), { weights });
}

const backends = (await describeBackends()).filter(({ available }) => available);

afterEach(() => useReferenceKernels(false));

describe.each(backends)('on $name', ({ name: backend, software }) => {
  it('agrees with the model that trains, under both routings', async () => {
    await startBackend(backend);
    const config = configOf('mixsga:3:1:6');
    const values = randomParameters(config, 5);
    const model = await createTrainable(config, values);
    const decoder = await createDecoder(config, values);
    const tokens = tokensOf(40, 2);
    for (const [routing, prompt] of [['prefill', 40], ['decode', 0]] as const) {
      const expected = tf.tidy(() =>
        tf.slice(model.logits(tf.tensor2d(tokens, [1, 40], 'int32'), { routing }), [0, 39, 0], [1, 1, VOCABULARY]),
      );
      expect(distance(await inOnePass(decoder, tokens, prompt), await expected.data())).toBeLessThan(1e-4);
      expected.dispose();
    }
    decoder.dispose();
    model.dispose();
  });

  it.each(software ? ['h2o:0.4'] : ['h2o:0.4', 'nacl:0.4', 'window:0.4'])('decodes under %s like the reference', async (limit) => {
    await startBackend(backend);
    const run = async () => {
      const decoder = await decoderOf('mixsga:3:1:6');
      const cache = decoder.createCache({ cache: limit, maxTokens: 50 });
      await decoder.prefill(tokensOf(30, 1), cache, { want: 'argMax' });
      const logits = await feed(decoder, tokensOf(20, 2), cache);
      const kept = [0, 1].map((layer) => Array.from({ length: 50 }, (_, t) => cache.expertOf(layer, t)));
      decoder.dispose();
      return { logits, kept };
    };
    const got = await run();
    await startBackend('cpu');
    const expected = await run();
    expect(got.kept).toEqual(expected.kept);
    expect(got.kept[0]!.filter((expert) => expert !== null)).toHaveLength(20);
    expect(distance(got.logits, expected.logits)).toBeLessThan(1e-4);
  });
});

describe('the decoder of OPT', () => {
  it.each([['bf16', 0.02], ['int8', 0.05]] as const)('computes with %s weights what the reference computes with them', async (weights, farther) => {
    const logits: Float32Array[] = [];
    for (const reference of [false, true]) {
      await startBackend('wasm');
      useReferenceKernels(reference);
      const decoder = await decoderOf('gqa:2', { weights });
      expect(decoder.runtime.path).toBe(reference ? 'reference' : 'fused');
      const cache = decoder.createCache();
      await decoder.prefill(tokensOf(20, 1), cache, { want: 'argMax' });
      logits.push(await feed(decoder, tokensOf(5, 2), cache));
      decoder.dispose();
    }
    expect(distance(logits[0]!, logits[1]!)).toBeLessThan(1e-3);
    useReferenceKernels(false);
    const decoder = await decoderOf('gqa:2');
    const cache = decoder.createCache();
    await decoder.prefill(tokensOf(20, 1), cache, { want: 'argMax' });
    const exact = await feed(decoder, tokensOf(5, 2), cache);
    decoder.dispose();
    expect(distance(logits[0]!, exact)).toBeLessThan(farther);
    expect(distance(logits[0]!, exact)).toBeGreaterThan(1e-4); // it did round
  });

  it.each(['mha', 'mixsga:3:1:6'])('leaves no tensor behind a step of %s, and frees everything in the end', async (attention) => {
    await startBackend('wasm');
    const whole = await trackTensors(async () => {
      const decoder = await decoderOf(attention);
      const cache = decoder.createCache();
      await decoder.prefill(tokensOf(33, 1), cache, { want: 'argMax' });
      await feed(decoder, tokensOf(1, 1), cache);
      const steps = await trackTensors(async () => {
        for (let t = 0; t < 30; t++) {
          await decoder.step(Int32Array.of(t), [cache], { want: 'argMax' });
          cache.truncate(34);
        }
      });
      expect(steps).toMatchObject({ tensors: 0, bytes: 0, buffers: 0 });
      decoder.dispose();
    });
    expect(whole).toMatchObject({ tensors: 0, bytes: 0, buffers: 0 });
  });

  it('leaves every cache as it was when a step fails', async () => {
    await startBackend('wasm');
    const decoder = await decoderOf('mixsga:3:1:6');
    const [a, b] = [decoder.createCache(), decoder.createCache()];
    await decoder.prefill(tokensOf(10, 1), a, { want: 'argMax' });
    await decoder.prefill(tokensOf(80, 1), b, { want: 'argMax' });
    await expect(decoder.step(Int32Array.of(1, 2), [a, b], { want: 'argMax' })).rejects.toThrow(
      'step: expected at most 80 tokens in a sequence, got 81; shorten the prompt or ask for fewer',
    );
    const gone = decoder.createCache();
    gone.dispose();
    await expect(decoder.step(Int32Array.of(1, 2), [a, gone], { want: 'argMax' })).rejects.toThrow('this cache is disposed');
    expect(a.tokensSeen).toBe(10);
    expect(distance(await feed(decoder, Int32Array.of(7), a), await inOnePass(decoder, Int32Array.of(...tokensOf(10, 1), 7), 10))).toBeLessThan(1e-4);
    decoder.dispose();
  });

  it('refuses a cache of another model or attention variant, and tokens that it does not have', async () => {
    await startBackend('wasm');
    const decoder = await decoderOf('mixsga:3:1:6');
    const cache = decoder.createCache();
    await decoder.prefill(tokensOf(10, 1), cache, { want: 'argMax' });
    const bytes = await cache.serialise();
    for (const other of [await decoderOf('mixsga:3:1:6', { seed: 6 }), await decoderOf('mixsga:1:1:2'), await decoderOf('mha')]) {
      await expect(other.restoreCache(bytes)).rejects.toThrow(ArgumentError);
      other.dispose();
    }
    const prefill = (tokens: number[], options = {}) =>
      decoder.prefill(Int32Array.from(tokens), decoder.createCache(), { want: 'argMax', ...options });
    await expect(prefill([])).rejects.toThrow('prefill: expected at least one token, got none');
    await expect(prefill([1, 50])).rejects.toThrow('prefill: expected token ids from 0 to 49, got 50 at 1');
    await expect(prefill(new Array<number>(81).fill(1))).rejects.toThrow('expected at most 80 tokens in a sequence, got 81');
    await expect(prefill([1], { promptTokens: 2 })).rejects.toThrow('prefill: expected a prompt of 0 to 1 tokens, got 2');
    await expect(decoder.prefill(Int32Array.of(1), cache, { want: 'argMax' })).rejects.toThrow('expected an empty cache, got one of 10 tokens');
    await expect(decoder.step(Int32Array.of(1, 2), [cache, cache], { want: 'argMax' })).rejects.toThrow('a cache of its own for each of 2 tokens, got 1');
    decoder.dispose();
  });

  it('counts the bytes of every weight and of the cache exactly', async () => {
    await startBackend('wasm');
    const decoder = await decoderOf('mixsga:3:1:6');
    const cache = decoder.createCache();
    await decoder.prefill(tokensOf(20, 1), cache, { want: 'argMax' }); // 6, 2 and 12 tokens
    // 2 layers, K and V of 8 heads of 4 float32, and 2 bits of index a token and layer.
    expect(cache.bytes().used).toBe(2 * 2 * 4 * 4 * (6 * 8 + 2 * 4 + 12 * 2) + 2 * 5);
    expect(cache.expertCounts()).toEqual([12, 4, 24]);
    decoder.dispose();
  });
});

// Attention variants whose experts are of other types than groups of heads: one pass, steps, caches.
import { describeBackends, startBackend, trackTensors, useReferenceKernels } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAttention } from '../attention/index';
import { modelShape } from '../config/shape';
import { kvBytes, storedTokens } from '../sizes/cost';
import { createDecoder } from './create-decoder';
import { streamNll } from '../evaluation/stream-nll';
import { distance, feed, inOnePass } from '../testing/decoding';
import { tinyConfig, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';
import { createTrainable } from '../training/model';
import type { CachedDecoder, DecoderOptions } from './cached-decoder';

const cases: readonly (readonly [TinyForm, string])[] = [
  ['opt', 'latent:1@4'],
  ['opt with norms after blocks and projected embeddings', 'latent:3:1:6@4,8,16'],
  ['opt', 'gqa:k4v2'],
  ['llama', 'mixsga:3:1:6@1,k2v1,4'],
  ['gemma2', 'mixsga:1:1@k1v2,k4v2'],
];

function decoderOf(form: TinyForm, attention: string, options?: DecoderOptions): Promise<CachedDecoder> {
  const config = tinyConfig(form, attention);
  return createDecoder(config, tinyValues(config, 5), options);
}

const join = (...parts: Int32Array[]) => Int32Array.from(parts.flatMap((part) => [...part]));

const backends = (await describeBackends()).filter(({ available }) => available);

describe.each(backends)('on $name', ({ name, software }) => {
  beforeAll(async () => void (await startBackend(name)));

  // A device that the processor stands in for is slow.
  const tried = software ? cases.slice(1, 2) : cases;

  it.each(tried)('%s with %s decodes a ragged batch like one pass with the same experts, from caches cut, forked or restored too', async (form, attention) => {
    const decoder = await decoderOf(form, attention);
    const texts = [tinyTokens(33, 1), tinyTokens(5, 2)];
    const caches = texts.map(() => decoder.createCache());
    for (const [i, text] of texts.entries()) await decoder.prefill(text, caches[i]!, { want: 'argMax' });
    const fork = caches[0]!.fork();
    const next = [tinyTokens(4, 4), tinyTokens(4, 5)];
    let logits = new Float32Array(0);
    for (let t = 0; t < 4; t++) {
      const { logits: values } = await decoder.step(Int32Array.from(next, (tokens) => tokens[t]!), caches, { want: 'logits' });
      logits = values!.slice() as Float32Array<ArrayBuffer>;
    }
    const size = decoder.vocabularySize;
    for (const [i, text] of texts.entries()) {
      const alone = await inOnePass(decoder, join(text, next[i]!), text.length);
      expect(distance(logits.subarray(i * size, (i + 1) * size), alone)).toBeLessThan(1e-4);
    }
    const other = tinyTokens(3, 7);
    const expected = await inOnePass(decoder, join(texts[0]!, other), 33);
    caches[0]!.truncate(33);
    const restored = await decoder.restoreCache(await fork.serialise());
    for (const cache of [caches[0]!, fork, restored]) expect(distance(await feed(decoder, other, cache), expected)).toBeLessThan(1e-4);
    decoder.dispose();
  });

  it.each(tried)('%s with %s has the likelihoods of the model that trains, under both routings', async (form, attention) => {
    const config = tinyConfig(form, attention);
    const values = tinyValues(config, 5);
    const [inputs, targets] = [tinyTokens(24, 1), tinyTokens(24, 2)];
    const decoder = await createDecoder(config, values);
    const model = await createTrainable(config, values);
    for (const routing of ['prefill', 'decode'] as const) {
      const row = (tokens: Int32Array) => tf.tensor2d(tokens, [1, tokens.length], 'int32');
      const expected = await tf.tidy(() => model.tokenNll(row(inputs), row(targets), { routing })).data<'float32'>();
      const { nll } = await decoder.likelihood(inputs, targets, { routing });
      nll.forEach((value, t) => expect(Math.abs(value - expected[t]!), `token ${t}, ${routing}`).toBeLessThan(1e-4));
    }
    model.dispose();
    decoder.dispose();
  });
});

describe('experts of other types', () => {
  beforeAll(async () => void (await startBackend('wasm')));

  it.each(cases)('%s with %s: the cache holds what they store and not a byte more', async (form, attention) => {
    for (const kv of ['f32', 'int8'] as const) {
      const config = tinyConfig(form, attention);
      const shape = modelShape(config);
      const variant = parseAttention(attention);
      const decoder = await createDecoder(config, tinyValues(config, 5), { kv });
      const cache = decoder.createCache();
      await decoder.prefill(tinyTokens(40, 1), cache, { want: 'argMax' });
      await feed(decoder, tinyTokens(3, 2), cache);
      const shapes = variant.formats.stored(shape).map(({ stored }) => stored);
      const bytesOf = shapes.map(({ heads, headDim }) => heads * (kv === 'f32' ? 4 * headDim : headDim + 4));
      const index = 4 * Math.ceil((43 * Math.ceil(Math.log2(shapes.length))) / 8);
      const used = cache.expertCounts().reduce((sum, count, expert) => sum + count * bytesOf[expert]!, index);
      expect(cache.bytes().used).toBe(used);
      expect(cache.stored).toEqual(shapes.map((own, expert) => ({ ...own, bytes: bytesOf[expert]! })));
      expect(storedTokens(shape, variant, kv)).toEqual(cache.stored);
      expect(cache.expertCounts().reduce((a, b) => a + b)).toBe(4 * 43);
      if (!variant.experts) expect(kvBytes(shape, variant, kv)).toBe(4 * bytesOf[0]!);
      decoder.dispose();
    }
  });

  it.each(cases)('%s with %s has in one pass what an int8 cache gives back', async (form, attention) => {
    const decoder = await decoderOf(form, attention, { kv: 'int8' });
    const [inputs, targets] = [tinyTokens(20, 1), tinyTokens(20, 2)];
    const { nll } = await decoder.likelihood(inputs, targets, { routing: 'decode' });
    const steps = await streamNll(decoder, inputs, targets, { windows: 1, cache: 'none' });
    nll.forEach((value, t) => expect(Math.abs(value - steps.nll[t]!)).toBeLessThan(0.02));
    decoder.dispose();
  });

  it('are decoded by kernels where they are latents, as the reference decodes them', async () => {
    for (const [form, attention] of cases) {
      const [path, logits, fingerprints] = [[] as string[], [] as Float32Array[], new Set<string>()];
      for (const reference of [false, true]) {
        useReferenceKernels(reference);
        const decoder = await decoderOf(form, attention);
        useReferenceKernels(false);
        const cache = decoder.createCache(form === 'gemma2' ? {} : { cache: 'h2o:0.8', maxTokens: 50 }); // whose window is too small
        await decoder.prefill(tinyTokens(37, 1), cache, { want: 'argMax' });
        logits.push(await feed(decoder, tinyTokens(9, 2), cache));
        path.push(decoder.path);
        fingerprints.add(decoder.fingerprint); // by which a cache of one is restored in the other
        decoder.dispose();
      }
      expect(fingerprints.size).toBe(1);
      expect(path).toEqual([attention.startsWith('latent') ? 'fused' : 'reference', 'reference']);
      expect(distance(logits[0]!, logits[1]!)).toBeLessThan(1e-4);
    }
  });

  it('are the unmodified model at full rank, and another below', async () => {
    const tokens = tinyTokens(30, 1);
    const [mha, full, half] = await Promise.all(
      ['mha', 'latent:1@1', 'latent:1@16'].map(async (attention) => {
        const decoder = await decoderOf('opt', attention);
        const logits = await inOnePass(decoder, tokens, 30);
        decoder.dispose();
        return logits;
      }),
    );
    expect(distance(full!, mha!)).toBeLessThan(1e-4);
    expect(distance(half!, mha!)).toBeGreaterThan(1e-2);
  });

  it('of a single latent are cut short under a KV budget, and keep every token', async () => {
    const decoder = await decoderOf('opt', 'latent:1@2');
    const [prompt, next] = [tinyTokens(25, 1), tinyTokens(20, 2)];
    const run = async (bytes?: number) => {
      const cache = decoder.createCache({ cache: bytes === undefined ? 'none' : `mean-attention:${bytes}B`, maxTokens: 46 });
      await decoder.prefill(prompt, cache, { want: 'argMax' });
      return { logits: await feed(decoder, next, cache), cache };
    };
    const full = await run();
    const whole = await run(1e6);
    expect(distance(whole.logits, full.logits)).toBeLessThan(1e-5);
    const bytes = Math.ceil(whole.cache.bytes().used / 2);
    const { logits, cache } = await run(bytes);
    expect(cache.bytes().used).toBeLessThanOrEqual(bytes);
    expect(cache.tokensKept(3)).toBe(45);
    // Of 32 dimensions, cut in half until two thirds of the bytes would do.
    expect(cache.expertCounts()).toHaveLength(3);
    expect(cache.expertCounts().filter((count) => count > 0).length).toBeGreaterThan(1);
    expect(distance(logits, full.logits)).toBeGreaterThan(1e-3);
    expect(distance(logits, full.logits)).toBeLessThan(1);
    const restored = await decoder.restoreCache(await cache.serialise());
    expect(await feed(decoder, tinyTokens(1, 3), restored)).toEqual(await feed(decoder, tinyTokens(1, 3), cache));
    decoder.dispose();
  });

  it('of several latents go down to shorter ones under a KV budget, by kernels as by their meaning', async () => {
    const logits: Float32Array[] = [];
    for (const reference of [false, true]) {
      useReferenceKernels(reference);
      const decoder = await decoderOf('opt', 'latent:1:1@4,8');
      useReferenceKernels(false);
      const cache = decoder.createCache({ cache: 'oldest:60%', maxTokens: 46 });
      await decoder.prefill(tinyTokens(25, 1), cache, { want: 'argMax' });
      logits.push(await feed(decoder, tinyTokens(20, 2), cache));
      expect(cache.formats.map(({ name }) => name)).toEqual(['latent:16', 'latent:8', 'latent:4']);
      expect(cache.expertCounts()[2]).toBeGreaterThan(4 * 10);
      expect(cache.tokensKept(3)).toBe(45);
      decoder.dispose();
    }
    expect(distance(logits[0]!, logits[1]!)).toBeLessThan(1e-4);
  });

  it('lose tokens under an eviction policy, and without a coarser form refuse a KV budget', async () => {
    const decoder = await decoderOf('opt', 'mixsga:1:1@1,k4v2');
    const cache = decoder.createCache({ cache: 'h2o:0.5', maxTokens: 20 });
    await decoder.prefill(tinyTokens(20, 1), cache, { want: 'argMax' });
    await feed(decoder, tinyTokens(5, 2), cache);
    expect([cache.tokensKept(0), cache.tokensSeen]).toEqual([10, 25]);
    expect(() => decoder.createCache({ cache: 'oldest:1000000B' })).toThrow('cache: expected formats that tokens can be coarsened to, got kv-grouped:k1v1, kv-grouped:k4v2; use eviction');
    decoder.dispose();
  });

  it('leave no tensor behind', async () => {
    const { tensors } = await trackTensors(async () => {
      const decoder = await decoderOf('opt', 'latent:3:1:6@4,8,16');
      const cache = decoder.createCache();
      await decoder.prefill(tinyTokens(33, 1), cache, { want: 'argMax' });
      await feed(decoder, tinyTokens(3, 1), cache);
      decoder.dispose();
      const config = tinyConfig('opt', 'latent:3:1:6@4,8,16');
      (await createTrainable(config, tinyValues(config, 5))).dispose();
    });
    expect(tensors).toBe(0);
  });
});

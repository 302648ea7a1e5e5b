// Decoders whose caches are int8, on every backend, against plain loops of the cpu backend on the same quantised keys and values.
import { type BackendName, describeBackends, startBackend, TOKENS_PER_PAGE } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import { describe, expect, it } from 'vitest';
import { convertConfig, convertedSource } from '../checkpoints/convert';
import type { CachedDecoder, DecoderOptions } from '../decoder/cached-decoder';
import { createDecoder } from '../decoder/create-decoder';
import { parseModelConfig } from '../families/index';
import { streamNll } from '../evaluation/stream-nll';
import { distance, feed, inOnePass } from '../testing/decoding';
import { readFixture, type FixtureName } from './fixture';

const TOLERANCE = 1e-4;
/** A number halfway between two steps can fall on either side where sums differ in their rounding; int8 itself makes 1.6e-3 and more. */
const FLIPS = 1.5e-3;
const STEPS = 5;

const cases = (['opt', 'llama', 'gemma2'] as const).flatMap((name) => ['mha', 'mixsga:3:1:6'].map((attention) => [name, attention] as const));

async function open(name: FixtureName, attention: string, options: DecoderOptions = { kv: 'int8' }) {
  const { config, source, golden } = await readFixture(name);
  const published = parseModelConfig(config, 'config.json');
  const decoder = await createDecoder(convertConfig(published, attention), convertedSource(published, source, attention), options);
  const text = Int32Array.from([...golden.prompt, ...golden.greedy]);
  return { decoder, text, prompt: golden.prompt.length, layers: published.num_hidden_layers };
}

/** All keys and values of a cache. */
async function contents(cache: KvCache, layers: number): Promise<number[]> {
  const all: number[] = [];
  for (let layer = 0; layer < layers; layer++) {
    for (const { store, pages, tokens } of cache.view(layer).segments) {
      for (let first = 0; first < tokens; first += TOKENS_PER_PAGE) {
        const { k, v } = await store.read(pages[first / TOKENS_PER_PAGE]!, Math.min(TOKENS_PER_PAGE, tokens - first));
        all.push(...k, ...v);
      }
    }
  }
  return all;
}

/** What a decoder makes of each of some tokens: the cache before it, and after it logits and cache. */
async function trace(decoder: CachedDecoder, text: Int32Array, first: number, layers: number) {
  const cache = decoder.createCache();
  await decoder.prefill(text.subarray(0, first), cache, { want: 'argMax' });
  const steps: { before: Uint8Array; logits: Float32Array; after: number[] }[] = [];
  for (let t = first; t < first + STEPS; t++) {
    const before = await cache.serialise();
    const logits = await feed(decoder, text.subarray(t, t + 1), cache);
    steps.push({ before, logits, after: await contents(cache, layers) });
  }
  return steps;
}

const backends = (await describeBackends()).filter(({ available }) => available).map(({ name }) => name);

describe.each(backends)('on %s', (backend: BackendName) => {
  it.each(cases)('%s with %s takes steps as plain loops do on the same cache', async (name, attention) => {
    await startBackend('cpu');
    const reference = await open(name, attention);
    const { text, prompt, layers } = reference;
    const steps = await trace(reference.decoder, text, prompt, layers);
    reference.decoder.dispose();

    await startBackend(backend);
    const { decoder } = await open(name, attention);
    for (const [i, { before, logits, after }] of steps.entries()) {
      const cache = await decoder.restoreCache(before);
      expect(await cache.serialise()).toEqual(before);
      const difference = distance(await feed(decoder, text.subarray(prompt + i, prompt + i + 1), cache), logits);
      const cached = await contents(cache, layers);
      const flipped = after.filter((value, at) => Math.abs(value - cached[at]!) > 1e-3 * Math.abs(value)).length;
      expect(difference, `step ${i}, ${flipped} numbers of its token a step of int8 away`).toBeLessThan(flipped === 0 ? TOLERANCE : FLIPS);
      expect(flipped).toBeLessThan(0.05 * (after.length / (prompt + i + 1)));
      cache.dispose();
    }
    decoder.dispose();
  });
});

describe('a decoder with an int8 cache', () => {
  it.each(cases)('of %s with %s has the same likelihoods in one pass, in steps, and after a prompt', async (name, attention) => {
    await startBackend('wasm');
    const { decoder, text, prompt } = await open(name, attention);
    const [inputs, targets] = [text.subarray(0, -1), text.subarray(1)];
    const { nll } = await decoder.likelihood(inputs, targets, { routing: 'decode' });
    const streamed = await streamNll(decoder, inputs, targets, { windows: 1 });
    expect(distance(streamed.nll, nll)).toBeLessThan(FLIPS);
    const cache = decoder.createCache();
    await decoder.prefill(text.subarray(0, prompt), cache, { want: 'argMax' });
    expect(distance(await feed(decoder, text.subarray(prompt), cache), await inOnePass(decoder, text, prompt))).toBeLessThan(FLIPS);

    const exact = (await open(name, attention, {})).decoder;
    const unrounded = await exact.likelihood(inputs, targets, { routing: 'decode' });
    const effect = distance(nll, unrounded.nll);
    expect(effect).toBeGreaterThan(1.5e-3);
    expect(effect).toBeLessThan(0.05);
    for (const each of [decoder, exact]) each.dispose();
  });

  it('holds the bytes that it says, in fewer than float32 takes, also with eviction, forks and truncation', async () => {
    await startBackend('wasm');
    const { decoder, text } = await open('opt', 'mixsga:3:1:6');
    const exact = (await open('opt', 'mixsga:3:1:6', {})).decoder;
    const filled = async (each: CachedDecoder) => {
      const cache = each.createCache();
      await each.prefill(text, cache, { want: 'argMax' });
      return cache;
    };
    const [small, large] = [await filled(decoder), await filled(exact)];
    const segments = [0, 1].flatMap((layer) => small.view(layer).segments);
    const storedHeads = segments.reduce((sum, { store, tokens }) => sum + 2 * store.heads * tokens, 0);
    const { headDim } = segments[0]!.store;
    expect(large.bytes().used - small.bytes().used).toBe(storedHeads * (4 * headDim - (headDim + 4)));
    expect(small.bytes().allocated).toBeLessThan(large.bytes().allocated);

    const [fork, twin] = [small.fork(), large.fork()];
    for (const cache of [fork, twin]) cache.truncate(10);
    const next = text.subarray(10, 14);
    expect(distance(await feed(decoder, next, fork), await feed(exact, next, twin))).toBeLessThan(0.05);
    const evicting = decoder.createCache({ cache: 'h2o:0.5', maxTokens: 20 });
    await decoder.prefill(text.subarray(0, 15), evicting, { want: 'argMax' });
    await feed(decoder, text.subarray(15, 18), evicting);
    expect(evicting.tokensKept(0)).toBe(10);
    await expect(exact.restoreCache(await small.serialise())).rejects.toThrow(
      'CachePool.restore: expected a cache of f32 keys and values, got one of "int8"; open the model with that type of cache',
    );
    for (const each of [decoder, exact]) each.dispose();
  });

  it('holds a KV budget by coarsening int8 tokens', async () => {
    await startBackend('wasm');
    const { decoder, text } = await open('opt', 'mha');
    const { decoder: exact } = await open('opt', 'mha', {});
    const all = decoder.createCache();
    await decoder.prefill(text, all, { want: 'argMax' });
    const bytes = Math.ceil(0.7 * all.bytes().used);
    const limits = { cache: `mean-attention:${bytes}B`, maxTokens: text.length };
    expect(() => exact.createCache(limits)).toThrow(/^cache mean-attention:\d+B: expected at least \d+ bytes/);
    const cache = decoder.createCache(limits);
    for (let t = 0; t < text.length; t++) await feed(decoder, text.subarray(t, t + 1), cache);
    expect(cache.bytes().used).toBeLessThanOrEqual(bytes);
    expect(cache.tokensKept(0)).toBe(text.length);
    expect(cache.expertCounts().slice(1).some((count) => count > 0)).toBe(true);
    for (const each of [decoder, exact]) each.dispose();
  });
});

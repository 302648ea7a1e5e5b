// The parts of the worker that need no browser.
import { startBackend } from '@mixsga/backend';
import { fromPretrained, generate, inspectConfig } from '@mixsga/models';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { EVICTED } from '../protocol';
import { chooseWeights } from './fit';
import { limitOf, newTokensOf, planVariant, storingLayers } from './plan';
import { CacheWatch, Pace, piecesOf, routingFacts } from './watch';

const zoo = fileURLToPath(new URL('../../../../packages/models/zoo/sotu-mini', import.meta.url));
const config = JSON.parse(await readFile(`${zoo}/config.json`, 'utf8')) as object;
const reportOf = (attention?: string, change: object = {}) => inspectConfig('tiny', { ...config, ...change }, 'config.json', attention);

beforeAll(async () => void (await startBackend('wasm')));

describe('a plan', () => {
  it.each(['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6'])('of %s is what the cache takes where tokens get experts as asked', async (attention) => {
    const report = await reportOf(attention);
    const { bytes, tokensKept } = planVariant(report, { attention, eviction: 'none' }, 100);
    expect([bytes, tokensKept]).toEqual([100 * report.kvBytesPerToken, 100]);
    if (attention.startsWith('mixsga')) return;
    const { decoder } = await fromPretrained('sotu-mini', { attention });
    for (const eviction of ['none', 'window:0.5']) {
      const generation = generate(decoder, [Array.from({ length: 90 }, (_, i) => i + 40)], { maxNewTokens: 11, cache: eviction });
      for await (const _ of generation);
      expect(planVariant(report, { attention, eviction }, 100).bytes, eviction).toBe(generation.stats().kvBytesUsed);
    }
    decoder.dispose();
  });

  it('of a KV budget is the budget, of which the cache leaves no more than a token and a 64th part free', async () => {
    const report = await reportOf();
    const { bytes, tokensKept } = planVariant(report, { attention: 'mha', eviction: 'none', kvBudget: 0.5 }, 100);
    expect([bytes, tokensKept]).toEqual([100 * 2048, 100]);
    expect(limitOf(report, { attention: 'mha', eviction: 'none', kvBudget: 0.5 }, 100)).toEqual({ policy: 'mean-attention', limit: { bytes } });
    expect(planVariant(await reportOf('gqa:4'), { attention: 'gqa:4', eviction: 'none', kvBudget: 0.5 }, 100).bytes).toBe(100 * (1024 + 4 * 8));
    const { decoder } = await fromPretrained('sotu-mini');
    const watch = new CacheWatch(4, 100, true);
    let last: ReturnType<CacheWatch['look']> | null = null;
    const generation = generate(decoder, [Array.from({ length: 90 }, (_, i) => i + 40)], { maxNewTokens: 11, cache: `mean-attention:${bytes}B`, onPass: (_, cache) => void (last = watch.look(cache)) });
    for await (const _ of generation);
    const { kvBytesUsed } = generation.stats();
    expect(kvBytesUsed).toBeLessThanOrEqual(bytes);
    expect(kvBytesUsed).toBeGreaterThan(bytes * (1 - 1 / 64) - 4 * (1024 + 8) - 4 * 1024);
    // Of 8 heads 4 or 2 are left.
    expect(new Set(last!.experts)).toEqual(new Set([0, 1, 2]));
    decoder.dispose();
  });

  it('counts layers that store, and tokens that have room', () => {
    expect([storingLayers('cla:2', 4), storingLayers('mha', 4)]).toEqual([2, 4]);
    expect([newTokensOf(100, 8, 256), newTokensOf(500, 8, 256), newTokensOf(5, 256, 256)]).toEqual([100, 248, 1]);
  });
});

describe('the type of weights', () => {
  it('is the most exact that fits', async () => {
    const report = await reportOf();
    expect(chooseWeights(report, 'wasm', 256)).toBe('f32');
    const only = (...fits: { backend: 'wasm' | 'webgpu'; weights: 'f32' | 'bf16' | 'int8'; tokens: number }[]) => ({ ...report, fits });
    const some = only({ backend: 'wasm', weights: 'f32', tokens: 10 }, { backend: 'wasm', weights: 'int8', tokens: 200 }, { backend: 'webgpu', weights: 'bf16', tokens: 256 });
    expect([chooseWeights(some, 'wasm', 10), chooseWeights(some, 'cpu', 11), chooseWeights(some, 'webgpu')]).toEqual(['f32', 'int8', 'bf16']);
    expect(() => chooseWeights(some, 'wasm', 201)).toThrow('tiny does not fit this device with a cache of 201 tokens, but of 200; ask for fewer tokens');
    expect(() => chooseWeights(only(), 'wasm')).toThrow(/^tiny does not fit this device on wasm: its weights take \d MB in their smallest form \(int8\); choose a smaller model or another backend$/);
  });
});

describe('a watched run', () => {
  it('tells each token once, and its router scores', async () => {
    const { decoder, tokenizer } = await fromPretrained('sotu-mini', { attention: 'mixsga:3:1:6' });
    const prompt = tokenizer.encode('The state of the Union is');
    const watch = new CacheWatch(4, prompt.length + 19, false);
    const seen: { first: number; experts: Uint8Array }[] = [];
    const generation = generate(decoder, [prompt], { maxNewTokens: 20, onPass: (_, cache) => void seen.push(watch.look(cache)) });
    for await (const _ of generation);
    expect(seen.map(({ first, experts }) => [first, experts.length / 4])).toEqual([[0, 8], ...Array.from({ length: 19 }, (_, i) => [8 + i, 1])]);

    const tokens = generation.tokens(0);
    const { agreement, agreementByLayer, scores } = await routingFacts(decoder, prompt, tokens, { signal: new AbortController().signal });
    expect(agreement).toBeCloseTo(agreementByLayer.reduce((sum, each) => sum + each, 0) / 4, 9);
    seen.slice(1).forEach(({ first, experts }) => {
      const best = scores.map((layer) => {
        const own = [...layer.subarray(3 * first, 3 * first + 3)];
        return own.indexOf(Math.max(...own));
      });
      expect([...experts]).toEqual(best);
    });
    const pieces = piecesOf(tokenizer, tokens, prompt.at(-1));
    expect(pieces.map(({ text }) => text).join('')).toBe(tokenizer.decode(tokens));
    decoder.dispose();
  });

  it('tells what a policy evicted, at the latest at the end', async () => {
    const { decoder } = await fromPretrained('sotu-mini', { attention: 'mixsga:3:1:6' });
    const watch = new CacheWatch(4, 49, true);
    let last: { first: number; experts: Uint8Array } = { first: -1, experts: new Uint8Array() };
    const prompt = Array.from({ length: 30 }, (_, i) => 100 + i);
    for await (const _ of generate(decoder, [prompt], { maxNewTokens: 20, cache: 'window:0.5', onPass: (_, cache) => void (last = watch.look(cache)) }));
    expect(last.first).toBe(0);
    expect(last.experts.filter((expert) => expert === EVICTED)).toHaveLength(4 * (49 - 25));
    decoder.dispose();
  });

  it('keeps its pace, and stops waiting when aborted', async () => {
    const begin = performance.now();
    const pace = new Pace(100);
    for (let i = 0; i < 5; i++) await pace.wait(new AbortController().signal);
    expect(performance.now() - begin).toBeGreaterThan(45);
    await new Pace(0.001).wait(AbortSignal.timeout(10));
    expect(performance.now() - begin).toBeLessThan(5000);
  });
});

import { startBackend, trackTensors, weightTypes } from '@mixsga/backend';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { benchDecode, formatBenchDecode } from './decode';
import { decoderEngine } from './engines';
import { type RandomModel, randomModels } from './random-model';

const TINY = { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, vocabularySize: 40 };
const VARIANTS = ['mha', 'gqa:2', 'mixsga:3:1:6'];

beforeAll(() => startBackend('wasm'));
afterEach(() => void vi.restoreAllMocks());

/** A clock by which every step takes a millisecond. */
function mockClock(): void {
  let clock = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => clock++);
}

describe('benchDecode', () => {
  it('measures every variant, weight type and context, and the naive path; counts bytes; frees what it made', async () => {
    mockClock();
    const said: string[] = [];
    const { result, tensors } = await trackTensors(() =>
      benchDecode({
        backend: 'wasm', contexts: [10, 40], weights: weightTypes, kv: ['f32'], seconds: 0.007, bandwidth: () => 5, shape: TINY,
        onSlice: (text) => said.push(text),
      }),
    );
    expect(tensors).toBe(0);
    expect(result.results.map(({ attention, path, weights, context }) => `${attention} ${path} ${weights} ${context}`)).toEqual([
      ...weightTypes.flatMap((weights) =>
        [10, 40].flatMap((context) => VARIANTS.map((attention) => `${attention} fused ${weights} ${context}`)),
      ),
      'gqa:2 naive f32 10', 'gqa:2 naive f32 40',
    ]);
    const at = (attention: string, path: string, weights: string, context: number) =>
      result.results.find((r) => r.attention === attention && r.path === path && r.weights === weights && r.context === context)!;

    // Two layers, 64 bytes a head of keys and values, and for mixsga 2 bits a token and layer.
    const experts = (a: number, b: number, c: number) => 2 * 64 * (4 * a + 2 * b + c);
    for (const weights of weightTypes) {
      expect(at('mha', 'fused', weights, 40).kvBytesUsed).toBe(40 * 512);
      expect(at('gqa:2', 'fused', weights, 40).kvBytesUsed).toBe(40 * 256);
      expect(at('mixsga:3:1:6', 'fused', weights, 40).kvBytesUsed).toBe(experts(12, 4, 24) + 2 * 10);
      expect(at('mixsga:3:1:6', 'fused', weights, 10).kvBytesUsed).toBe(experts(3, 1, 6) + 2 * 3);
    }
    expect(at('gqa:2', 'naive', 'f32', 40).kvBytesUsed).toBe(40 * 256);
    for (const { kvBytesUsed, kvBytesAllocated } of result.results) expect(kvBytesAllocated).toBeGreaterThanOrEqual(kvBytesUsed);

    const matrix = 32 * 32 + 32;
    const rest = 4 * 32 + 2 * matrix + (32 * 64 + 64) + (64 * 32 + 32);
    const table = 40 * 32;
    const weightsOf = (keysAndValues: number) => 4 * (2 * (rest + 2 * keysAndValues) + 2 * 32 + table + 2 * 32);
    expect(at('mha', 'fused', 'f32', 40).weightBytes).toBe(weightsOf(matrix));
    expect(at('gqa:2', 'fused', 'f32', 40).weightBytes).toBe(weightsOf(matrix / 2));
    expect(at('gqa:2', 'naive', 'f32', 40).weightBytes).toBe(weightsOf(matrix / 2));
    // Held, and not read: the other positions (43 rows, packed as 48).
    expect(at('mha', 'fused', 'f32', 40).weightBytesHeld).toBe(weightsOf(matrix) + 4 * (48 * 32 - 2 * 32));
    const mixsga = at('mixsga:3:1:6', 'fused', 'f32', 40);
    const [a, b, c] = mixsga.realisedRatios as [number, number, number];
    expect(a + b + c).toBeCloseTo(1, 9);
    expect(mixsga.weightBytes).toBe(
      Math.round(weightsOf(matrix * (a + b / 2 + c / 4)) + 4 * 2 * (3 * 32 + 3)),
    );
    expect(mixsga.weightBytesHeld).toBeGreaterThan(at('mha', 'fused', 'f32', 40).weightBytesHeld);
    expect(at('mha', 'fused', 'bf16', 40).weightBytes).toBeLessThan(0.6 * weightsOf(matrix));
    expect(at('mha', 'fused', 'int8', 40).weightBytes).toBeLessThan(at('mha', 'fused', 'bf16', 40).weightBytes);

    for (const r of result.results) {
      const index = r.realisedRatios ? 2 * Math.ceil(r.context / 4) : 0;
      expect(r.bytesPerToken).toBe(r.weightBytes + r.kvBytesUsed - index);
      expect(r.tokensPerSecond).toBeCloseTo(1000, 6);
      expect(r.msPerToken).toBeCloseTo(1, 9);
      expect(r.spread.min).toBeCloseTo(1000, 6);
      expect(r.shareOfBandwidth).toBeCloseTo((1000 * r.bytesPerToken) / 5e9, 9);
      expect(r.dispatchesPerToken).toBeNull();
      expect(r.rounds).toBe(32 * (1 + Number(r.attention === 'mixsga:3:1:6' && r.context === 10) + Number(r.attention === 'mixsga:3:1:6' && r.weights === 'f32')));
    }
    expect(result.bandwidthGBs).toBe(5);
    const both = { 10: expect.closeTo(1, 6), 40: expect.closeTo(1, 6) };
    const none = { 10: expect.closeTo(0, 6), 40: expect.closeTo(0, 6) };
    const variants = { mixsgaOverGqa: both, mixsgaOverMha: both, standardErrors: { mixsgaOverGqa: none, mixsgaOverMha: none } };
    expect(result.ratios).toEqual({
      ...variants, overNaive: both, bf16OverF32: { 10: both[10] }, int8OverF32: { 10: both[10] },
      byWeights: { f32: variants, bf16: variants, int8: variants }, int8KvOverF32: {},
    });
    expect(said).toContain('round 16 of 16: naive gqa:2 at 40');
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
    const text = formatBenchDecode(result);
    expect(text).toMatch(/^mixsga:3:1:6 bf16 +1000\.0 +1000\.0$/m);
    expect(text).toMatch(/^gqa:2, plain TensorFlow\.js +1000\.0 +1000\.0$/m);
    expect(text).toContain('mixsga:3:1:6 over gqa:2, bf16: 1.000 ± 0.000 × at 10, 1.000 ± 0.000 × at 40');
    expect(text).toContain('mixsga:3:1:6 over plain TensorFlow.js with gqa:2: 1.00 × at 10, 1.00 × at 40');
    expect(text).toContain('One thread reads memory at 5.0 GB/s');
  });

  it('runs other variants beside the three, and counts what latents go through', async () => {
    mockClock();
    const { results, ratios } = await benchDecode({
      backend: 'wasm', contexts: [40], weights: ['bf16'], kv: ['f32'], also: ['latent:1@4'], seconds: 0.001, bandwidth: () => 5, shape: TINY,
    });
    const [mha, , , latent] = results;
    expect(results.map(({ attention, path }) => `${attention} ${path}`)).toEqual([...VARIANTS, 'latent:1@4'].map((attention) => `${attention} fused`));
    expect(latent!.kvBytesUsed).toBe(mha!.kvBytesUsed / 4);
    // Of 16 numbers: a projection in bf16 instead of two of 32, and for each of 4 heads 16 numbers by 8 twice, in f32.
    const projections = 2 * 2 * (2 * 32 * 32 + 4 * 32);
    const latents = 2 * (2 * 16 * 32 + 4 * 16 + 4 * 4 * (2 * 16 * 8 + 8));
    expect(latent!.weightBytes).toBe(mha!.weightBytes - projections + latents);
    expect(Object.keys(ratios.byWeights.bf16!)).toEqual(['mixsgaOverGqa', 'mixsgaOverMha', 'standardErrors']);
  });

  it('runs one weight type alone, without what needs f32', async () => {
    mockClock();
    const result = await benchDecode({ backend: 'wasm', contexts: [4], weights: ['int8'], kv: ['f32'], seconds: 0.001, bandwidth: () => 5, shape: TINY });
    expect(result.results.map(({ path, weights }) => `${path} ${weights}`)).toEqual(['fused int8', 'fused int8', 'fused int8']);
    const of = (byContext: object) => ({ mixsgaOverGqa: byContext, mixsgaOverMha: byContext });
    expect(result.ratios).toEqual({
      ...of({}), standardErrors: of({}), overNaive: {}, bf16OverF32: {}, int8OverF32: {},
      byWeights: { int8: { ...of({ 4: expect.closeTo(1, 6) }), standardErrors: of({ 4: expect.closeTo(0, 6) }) } }, int8KvOverF32: {},
    });
  });
});

describe('benchDecode of caches', () => {
  it('runs each variant with both element types in turn, and counts their bytes', async () => {
    mockClock();
    const result = await benchDecode({
      backend: 'wasm', contexts: [40], weights: ['bf16'], kv: ['f32', 'int8'], seconds: 0.001, bandwidth: () => 5, shape: TINY,
    });
    expect(result.results.map(({ attention, weights, kv }) => `${attention} ${weights} ${kv}`)).toEqual([
      ...VARIANTS.map((attention) => `${attention} bf16 f32`), ...VARIANTS.map((attention) => `${attention} bf16 int8`),
    ]);
    const at = (attention: string, kv: string) => result.results.find((r) => r.attention === attention && r.kv === kv)!;
    // Two layers, 8 numbers of keys and of values a head: 12 bytes each in place of 32.
    for (const [attention, heads] of [['mha', 40 * 4], ['gqa:2', 40 * 2], ['mixsga:3:1:6', 12 * 4 + 4 * 2 + 24]] as const) {
      const index = attention.startsWith('mixsga') ? 2 * 10 : 0;
      for (const [kv, bytes] of [['f32', 32], ['int8', 12]] as const) {
        expect(at(attention, kv).kvBytesUsed).toBe(2 * 2 * bytes * heads + index);
        expect(at(attention, kv).bytesPerToken).toBe(at(attention, kv).weightBytes + 2 * 2 * bytes * heads);
      }
    }
    const ratio = { 40: expect.closeTo(1, 6) };
    expect(result.ratios.int8KvOverF32).toEqual({ bf16: { mha: ratio, 'gqa:2': ratio, 'mixsga:3:1:6': ratio } });
    expect(formatBenchDecode(result)).toMatch(/^int8 over f32 cache, gqa:2 bf16: 1\.00 × at 40$/m);
    expect(formatBenchDecode(result)).toMatch(/^gqa:2 bf16, int8 cache +1000\.0$/m);
  });
});

describe('decoderEngine', () => {
  it('takes steps at a context that stays, and has the asked ratios in them', async () => {
    const [model] = (await randomModels({ ...TINY, vocabularySize: 500 }, ['mixsga:3:1:6'], 33)) as [RandomModel];
    const engine = await decoderEngine(model, 'f32');
    const contender = engine.decoding(32); // where one token more is all that the model takes
    for (let step = 0; step < 300; step++) expect((await contender.run(0)).steps).toBe(1);
    const { realisedRatios } = contender.facts();
    [0.3, 0.1, 0.6].forEach((ratio, e) => expect(Math.abs(realisedRatios![e]! - ratio)).toBeLessThan(0.1));
    contender.dispose();
    engine.dispose();
  });
});

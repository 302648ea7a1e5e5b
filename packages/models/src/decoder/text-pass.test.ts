import { startBackend, trackTensors } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createDecoder } from './create-decoder';
import { parseModelConfig } from '../families/index';
import { generate } from '../generation/generate';
import { tinyConfig, tinyForms, tinyTokens, tinyValues } from '../testing/tiny-models';
import type { CachedDecoder } from './cached-decoder';

const tokens = tinyTokens(70, 1);
const targets = tinyTokens(70, 2);

/** A tiny model that lets others have their turn after every piece of work. */
async function eagerDecoder(...args: Parameters<typeof tinyConfig>): Promise<CachedDecoder> {
  const config = tinyConfig(...args);
  const decoder = await createDecoder(config, tinyValues(config, 5));
  Object.assign(decoder.runtime, { workAtOnce: 0 });
  return decoder;
}

beforeAll(async () => void (await startBackend('wasm')));
afterEach(() => void vi.restoreAllMocks());

describe('a pass over a text', () => {
  it.each([
    ['opt', 'mha'], ['opt with norms after blocks and projected embeddings', 'mixsga:3:1:6'], ['opt', 'cla:2'], ['llama', 'mixsga:3:1:6'],
    ['gemma2', 'gqa:2'], ['opt', 'latent:1@2'],
  ] as const)('%s with %s gives the same numbers whatever the rows at a time', async (form, attention) => {
    const decoder = await eagerDecoder(form, attention);
    const run = async (rows: number) => {
      const { nll } = await decoder.likelihood(tokens, targets, { routing: 'prefill', rows });
      const cache = decoder.createCache();
      const first = (await decoder.prefill(tokens.subarray(0, 60), cache, { want: 'logits', rows })).logits!.slice();
      const next = (await decoder.step(Int32Array.of(7), [cache], { want: 'logits' })).logits!.slice();
      const counts = cache.expertCounts();
      cache.dispose();
      return { nll, first, next, counts };
    };
    const whole = await run(1024);
    for (const rows of [2, 7, 64]) expect(await run(rows)).toEqual(whole);
    decoder.dispose();
  });

  it('keeps the same tokens and experts under eviction and a KV budget whatever the rows at a time', async () => {
    const decoder = await eagerDecoder('opt', 'mixsga:3:1:6');
    for (const limit of ['h2o:0.5', 'oldest:24000B', 'mean-attention:24000B']) {
      const run = async (rows: number) => {
        const cache = decoder.createCache({ cache: limit, maxTokens: 70 });
        await decoder.prefill(tokens, cache, { want: 'argMax', rows });
        const experts = Array.from(tokens, (_, token) => cache.expertOf(1, token));
        cache.dispose();
        return experts;
      };
      const whole = await run(1024);
      expect(new Set(whole).size).toBeGreaterThan(2);
      for (const rows of [7, 64]) expect(await run(rows)).toEqual(whole);
    }
    decoder.dispose();
  });

  it('tells how much is done, and when it is aborted leaves an empty cache to use again', async () => {
    const decoder = await eagerDecoder('opt', 'mixsga:3:1:6');
    const cache = decoder.createCache();
    const expected = (await decoder.prefill(tokens, cache, { want: 'logits' })).logits!.slice();
    cache.reset();
    const { tensors } = await trackTensors(async () => {
      for (const at of [0.01, 0.5, 0.9]) {
        const done: number[] = [];
        const controller = new AbortController();
        const onProgress = (part: number) => {
          done.push(part);
          if (part > at) controller.abort(new Error('enough'));
        };
        await expect(decoder.prefill(tokens, cache, { want: 'argMax', rows: 10, signal: controller.signal, onProgress })).rejects.toThrow('enough');
        expect(done.slice(0, -1).every((part) => part <= at)).toBe(true);
        expect([cache.tokensSeen, cache.bytes().used]).toEqual([0, 0]);
        expect(cache.bytes().allocated).toBeLessThan(1000); // no page
      }
    });
    expect(tensors).toBe(0);
    const done: number[] = [];
    const { logits: values } = await decoder.prefill(tokens, cache, { want: 'logits', rows: 10, onProgress: (part) => done.push(part) });
    expect(values).toEqual(expected);
    expect(done.length).toBeGreaterThan(4 * 7 * 2);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBeCloseTo(1, 9);
    decoder.dispose();
  });

  it('is stopped in the middle by the signal of a generation, which reports how much is done', async () => {
    const decoder = await eagerDecoder('opt', 'mixsga:3:1:6');
    const controller = new AbortController();
    const seen: [sequence: number, done: number][] = [];
    const onPrefill = (...part: [number, number]) => {
      seen.push(part);
      if (part[1] > 0.4) controller.abort(new Error('enough'));
    };
    const run = generate(decoder, [tokens], { maxNewTokens: 2, signal: controller.signal, onPrefill });
    await expect(run[Symbol.asyncIterator]().next()).rejects.toThrow('enough');
    expect(seen.at(-1)![1]).toBeLessThan(0.6);
    expect(new Set(seen.map(([sequence]) => sequence))).toEqual(new Set([0]));
    decoder.dispose();
  });

  it('does no more between two turns than a matrix or the attention of a KV head, for as few rows as the model is wide and the text long', async () => {
    const config = parseModelConfig({ ...tinyForms.llama, max_position_embeddings: 2048 }, 'test');
    const decoder = await createDecoder(config, tinyValues(config, 5));
    const { runtime } = decoder;
    let [since, most, turns] = [0, 0, 0];
    const count = (work: number) => void (most = Math.max(most, (since += work)));
    const { apply, project, causalAttention, settled } = runtime;
    vi.spyOn(runtime, 'apply').mockImplementation((weights, x, out, rows, options) => {
      count(rows * x.width * out.width);
      apply.call(runtime, weights, x, out, rows, options);
    });
    vi.spyOn(runtime, 'project').mockImplementation((weights, x, k, v, rows) => {
      count(rows * x.width * (k.width + v.width));
      project.call(runtime, weights, x, k, v, rows);
    });
    vi.spyOn(runtime, 'causalAttention').mockImplementation((q, k, v, out, rows, options) => {
      const { keys = rows, kvHeads, kvRange = { first: 0, end: kvHeads } } = options;
      count((2 * rows * keys * q.width * (kvRange.end - kvRange.first)) / kvHeads);
      causalAttention.call(runtime, q, k, v, out, rows, options);
    });
    vi.spyOn(runtime, 'settled').mockImplementation(() => {
      [since, turns] = [0, turns + 1];
      return settled.call(runtime);
    });
    // As on a machine so slow that each piece is a turn's.
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000));
    for (const [rowsOfMatrix, length, rows] of [[24, 300, 8], [200, 500, 38], [200, 2000, 9]] as const) {
      const workAtOnce = rowsOfMatrix * 48 * 32;
      Object.assign(runtime, { workAtOnce });
      [since, most, turns] = [0, 0, 0];
      await decoder.likelihood(tinyTokens(length, 1), tinyTokens(length, 2), { routing: 'decode' });
      const ofKvHead = 2 * length * 4 * 2; // two query heads of 4 numbers, for each row
      expect(most).toBeLessThanOrEqual(Math.max(2 * workAtOnce, rows * ofKvHead));
      expect(turns).toBeGreaterThanOrEqual((4 * 7 * length) / rows);
    }
    decoder.dispose();
  });

  it('takes memory in proportion to the tokens, and none for more layers', async () => {
    vi.spyOn(performance, 'now').mockReturnValue(0); // turns by work alone
    const heap = () => (tf.backend() as unknown as { wasm: { HEAPF32: Float32Array } }).wasm.HEAPF32.byteLength;
    const growth = async (layers: number, length: number) => {
      const config = parseModelConfig({
        ...tinyForms.opt, num_hidden_layers: layers, ffn_dim: 512, max_position_embeddings: 8192, mixsga: { attention: 'mixsga:3:1:6' },
      }, 'test');
      const decoder = await createDecoder(config, tinyValues(config, 5));
      Object.assign(decoder.runtime, { workAtOnce: 1e6 });
      const [text, none] = [tinyTokens(length, 1), new Int32Array(length).fill(-1)];
      const [bytes, heapBytes] = [tf.memory().numBytes, heap()];
      let most = 0;
      await decoder.likelihood(text, none, { routing: 'prefill', onProgress: () => (most = Math.max(most, tf.memory().numBytes - bytes)) });
      const grown = heap() - heapBytes;
      decoder.dispose();
      return { most, grown };
    };
    const small = await growth(1, 1024);
    const long = await growth(1, 4096);
    // Hidden states, queries, keys and values [T, 32], scores [T, 3] twice; buffers of 64 rows, of which one is 512 wide, once.
    expect(long.most).toBeLessThan(4 * small.most);
    expect(long.most).toBeLessThan(4096 * 4 * (4 * 32 + 32) + 2e6);
    expect((await growth(4, 4096)).most).toBe(long.most);
    // A matrix of 4096 × 4096 has 64 MiB.
    expect(long.grown).toBeLessThan(2 ** 25);
  });
});

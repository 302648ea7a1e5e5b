import { startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAttention } from '../attention/index';
import { createDecoder } from '../decoder/create-decoder';
import { parseModelConfig } from '../families/index';
import { runningMemory, sumOf } from './memory';
import { randomParameters } from '../training/random-parameters';

/*
 * What runs takes of the heap, against the estimate, and what is said where the heap has no more. What is allocated in the heap is
 * counted, which is why this is a file, and so a process, of its own.
 */

/** Between estimate and measurement, either way. */
const FACTOR = 1.15;
const TOKENS = 1500;

interface Heap {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

let heap: Heap;
const held = { now: 0, most: 0 };

beforeAll(async () => {
  await startBackend('wasm');
  heap = (tf.backend() as unknown as { wasm: Heap }).wasm;
  const [malloc, free, sizes] = [heap._malloc.bind(heap), heap._free.bind(heap), new Map<number, number>()];
  heap._malloc = (bytes) => {
    const start = malloc(bytes);
    sizes.set(start >>> 0, bytes);
    held.now += bytes;
    held.most = Math.max(held.most, held.now);
    return start;
  };
  heap._free = (start) => {
    held.now -= sizes.get(start >>> 0) ?? 0;
    sizes.delete(start >>> 0);
    free(start);
  };
});

const opt = { model_type: 'opt', vocab_size: 400, hidden_size: 128, num_hidden_layers: 4, num_attention_heads: 8, ffn_dim: 256, max_position_embeddings: 2048 };
const llama = {
  ...{ model_type: 'llama', vocab_size: 400, hidden_size: 128, num_hidden_layers: 4, num_attention_heads: 8, num_key_value_heads: 4 },
  ...{ intermediate_size: 256, max_position_embeddings: 2048, tie_word_embeddings: true },
};
const prompt = Int32Array.from({ length: TOKENS }, (_, i) => (7 * i) % 400);

describe('the estimate of what running takes', () => {
  it.each<[string, object, string, 'f32' | 'int8', 'f32' | 'int8']>([
    ['OPT', opt, 'mha', 'f32', 'f32'],
    ['OPT in int8', opt, 'mha', 'int8', 'int8'],
    ['OPT with experts', opt, 'mixsga:3:1:6', 'f32', 'f32'],
    ['Llama', llama, 'gqa:2', 'f32', 'f32'],
  ])('is what is measured: %s', async (_, json, attention, weights, kv) => {
    const config = parseModelConfig({ ...json, ...(attention === 'mha' ? {} : { mixsga: { attention } }) }, 'test');
    const before = held.now;
    const decoder = await createDecoder(config, randomParameters(config, 1), { weights, kv });
    try {
      const caches = [decoder.createCache(), decoder.createCache()];
      held.most = held.now;
      // As large models take their rows: what small ones take at a time is much beside what they keep.
      for (const cache of caches) await decoder.prefill(prompt, cache, { want: 'argMax', rows: 64 });
      await decoder.step(Int32Array.of(1, 2), caches, { want: 'argMax' });
      const measured = held.most - before;
      const estimate = sumOf(runningMemory(config, parseAttention(attention), { weights, kv }, { sequences: 2, passTokens: TOKENS, cachedTokens: TOKENS + 1 }));
      expect(estimate / measured).toBeGreaterThan(1 / FACTOR);
      expect(estimate / measured).toBeLessThan(FACTOR);
    } finally {
      decoder.dispose();
    }
  });
});

describe('a heap that is full', () => {
  const taken: number[] = [];
  afterAll(() => taken.forEach((start) => heap._free(start)));

  it('is one line with the tokens and what to lower, in a prompt, in a text and in steps', async () => {
    const config = parseModelConfig(opt, 'test');
    const decoder = await createDecoder(config, randomParameters(config, 1));
    const cache = decoder.createCache();
    await decoder.prefill(prompt.subarray(0, 32), cache, { want: 'argMax' });
    // All but some kilobytes, without a byte of them being written.
    for (let bytes = 2 ** 30; bytes >= 2 ** 12; bytes /= 2) {
      try {
        for (;;) taken.push(heap._malloc(bytes));
      } catch {
        // half as much
      }
    }
    const advice = 'expected to fit into memory, and there is none left; take less text or fewer sequences at a time, a KV budget (--kv-budget), or smaller types (--kv int8, --weights int8)';
    await expect(decoder.prefill(prompt, decoder.createCache(), { want: 'argMax' })).rejects.toThrow(`prefill: a text of 1500 tokens: ${advice}`);
    await expect(decoder.likelihood(prompt, prompt, { routing: 'prefill' })).rejects.toThrow(`likelihood: a text of 1500 tokens: ${advice}`);
    await expect(decoder.step(Int32Array.of(1), [cache], { want: 'argMax' })).rejects.toThrow(`step: 1 sequence of up to 33 tokens: ${advice}`);
    // Nothing changed: it goes on when there is room.
    for (const start of taken.splice(0)) heap._free(start);
    expect(cache.tokensSeen).toBe(32);
    expect((await decoder.step(Int32Array.of(1), [cache], { want: 'argMax' })).argMax).toHaveLength(1);
    decoder.dispose();
  });
});

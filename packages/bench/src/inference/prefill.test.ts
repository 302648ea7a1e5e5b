import { startBackend, trackTensors } from '@mixsga/backend';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { benchPrefill, formatBenchPrefill } from './prefill';

const TINY = { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, vocabularySize: 40 };

beforeAll(() => startBackend('wasm'));
afterEach(() => void vi.restoreAllMocks());

describe('benchPrefill', () => {
  it('takes the prompt in by every variant and weight type, each beside the naive path, and frees what it made', async () => {
    let clock = 0;
    // A pass looks at the clock too, to let others have their turn, and does not move it.
    vi.spyOn(performance, 'now').mockImplementation(() => (new Error().stack!.includes('/turns.ts') ? clock : clock++));
    const said: string[] = [];
    const { result, tensors } = await trackTensors(() =>
      benchPrefill({ tokens: 20, weights: ['f32', 'bf16'], seconds: 0.006, shape: TINY, onSlice: (text) => said.push(text) }),
    );
    expect(tensors).toBe(0);
    expect(result.results.map(({ attention, path, weights }) => `${attention} ${path} ${weights}`)).toEqual([
      'mha fused f32', 'gqa:2 fused f32', 'mixsga:3:1:6 fused f32', 'gqa:2 naive f32',
      'mha fused bf16', 'gqa:2 fused bf16', 'mixsga:3:1:6 fused bf16',
    ]);
    for (const { tokensPerSecond, milliseconds, spread, rounds, prompts } of result.results) {
      expect(tokensPerSecond).toBeCloseTo(20_000, 3);
      expect(milliseconds).toBeCloseTo(1, 6);
      expect(spread.max).toBeCloseTo(20_000, 3);
      expect([rounds, prompts]).toEqual([3, 6]);
    }
    const one = expect.closeTo(1, 6);
    const all = { mha: one, 'gqa:2': one, 'mixsga:3:1:6': one };
    expect(result.ratios).toEqual({ overNaive: { f32: all, bf16: all } });
    expect(said.at(-1)).toBe('round 3 of 3: naive gqa:2');
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
    const text = formatBenchPrefill(result);
    expect(text).toMatch(/^mixsga:3:1:6 +bf16 +20000 +20000 to 20000 +1 +1\.00 ×$/m);
    expect(text).toMatch(/^gqa:2 +plain TensorFlow\.js +20000 +20000 to 20000 +1$/m);
  });
});

import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { kvBytesPerToken, type KvLayout } from './index';
import { groups } from './testing/drive';

const unmodified = { sizes: [1], ratios: [1] };
const gqa = { sizes: [2], ratios: [1] };
const mixsga = { sizes: [1, 2, 4], ratios: [3, 1, 6] };

describe('kvBytesPerToken', () => {
  it.each([
    { model: 'OPT-125m', shape: { layers: 12, kvHeads: 12, headDim: 64 }, bytes: [73_728, 36_864, 36_867] },
    { model: 'Llama-3.2-1B', shape: { layers: 16, kvHeads: 8, headDim: 64 }, bytes: [65_536, 32_768, 32_772] },
    { model: 'Gemma-2-2b', shape: { layers: 26, kvHeads: 4, headDim: 256 }, bytes: [212_992, 106_496, 106_502] },
  ])("gives the paper's Table 9 for $model", ({ shape: { layers, kvHeads, headDim }, bytes }) => {
    expect([unmodified, gqa, mixsga].map(({ sizes, ratios }) => kvBytesPerToken({ layers, formats: groups(kvHeads, headDim, sizes), ratios }))).toEqual(bytes);
  });

  const opt: KvLayout = { layers: 12, formats: groups(12, 64, mixsga.sizes), ratios: mixsga.ratios };
  const plain = { formats: groups(12, 64, [1]), ratios: [1] };

  it('takes normalised ratios, fewer layers that store (CLA), and int8 with its scales', () => {
    expect(kvBytesPerToken({ ...opt, ratios: [0.3, 0.1, 0.6] })).toBe(36_867);
    expect(kvBytesPerToken({ ...opt, ...plain, layers: 6 })).toBe(36_864);
    expect(kvBytesPerToken({ layers: 1, formats: groups(1, 1, [1]), ratios: [1] })).toBe(8);
    expect(kvBytesPerToken({ ...opt, formats: groups(12, 64, [1, 2]), ratios: [0, 1], layers: 9 })).toBe(9 * 12 * 64 * 4 + 1);
    // Half of 12 heads in 12 layers: 64 bytes and a scale of 4 for the keys of each, and for its values.
    expect(kvBytesPerToken({ ...opt, type: 'int8' })).toBe(12 * 6 * 2 * 68 + 3);
    // A position and a score in place of the index.
    expect(kvBytesPerToken({ ...opt, positions: true })).toBe(36_864 + 12 * 8);
  });

  it.each([
    { change: { layers: 0 }, message: /layers to be a whole number from 1, got 0/ },
    { change: { formats: [], ratios: [] }, message: /expected 1 to 256 formats, got 0/ },
    { change: { formats: [{ name: 'own', kvHeads: 12, headDim: 64, stored: { heads: 1.5, headDim: 64 } }] }, message: /the counts of format own to be whole numbers from 1, got / },
    { change: { ratios: [1, 1] }, message: /expected 3 ratios of 0 or more, not all 0, got 1:1/ },
    { change: { ratios: [2, -1, 1] }, message: /got 2:-1:1/ },
    { change: { ratios: [0, 0, 0] }, message: /got 0:0:0/ },
    { change: { ratios: [1, NaN, 1] }, message: /got 1:NaN:1/ },
    { change: { ratios: [1, Infinity, 1] }, message: /got 1:Infinity:1/ },
  ])('refuses $change', ({ change, message }) => {
    expect(() => kvBytesPerToken({ ...opt, ...change })).toThrow(message);
    expect(() => kvBytesPerToken({ ...opt, ...change })).toThrow(ArgumentError);
  });
});

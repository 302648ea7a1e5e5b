import { trackTensors, startBackend } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';

import { benchKernels, formatBenchKernels } from './kernels';

const TINY = { heads: 4, headDim: 8, contexts: [10, 40], products: [[16, 8], [8, 24]], coldBytes: 2 ** 14 } as const;

beforeAll(() => startBackend('wasm'));

describe('benchKernels', () => {
  it('measures attention and products, counts their bytes, and frees what it made', async () => {
    const said: string[] = [];
    let probes = 0;
    const { result, tensors } = await trackTensors(() =>
      benchKernels({ seconds: 0.005, bandwidth: () => 10 * ++probes, shape: TINY, onSlice: (text) => said.push(text) }),
    );
    expect(tensors).toBe(0);
    expect(result.attention.map(({ attention, tokens, bytes }) => [attention, tokens, bytes])).toEqual([
      ['mha', 10, 10 * 256], ['gqa:2', 10, 10 * 128], ['mixsga:3:1:6', 10, 3 * 256 + 128 + 6 * 64],
      ['mha', 40, 40 * 256], ['gqa:2', 40, 40 * 128], ['mixsga:3:1:6', 40, 4 * (3 * 256 + 128 + 6 * 64)],
    ]);
    expect(result.products.map(({ inputs, outputs, weights }) => `${inputs} ${outputs} ${weights}`)).toEqual([
      '16 8 f32', '16 8 bf16', '16 8 int8', '8 24 f32', '8 24 bf16', '8 24 int8',
    ]);
    expect(result.products[0]!.bytes).toBe(4 * (16 * 8 + 8));
    for (const { bytes, milliseconds, GBs, spread, shareOfBandwidth, calls } of [...result.attention, ...result.products]) {
      expect(calls).toBeGreaterThanOrEqual(5);
      expect(bytes / milliseconds / 1e6).toBeCloseTo(GBs, 9);
      expect(spread.min).toBeLessThanOrEqual(GBs);
      expect(spread.max).toBeGreaterThanOrEqual(GBs);
      expect(shareOfBandwidth).toBeGreaterThan(0);
    }
    // Five rounds of four groups, each probed once: 10, 20, … 200.
    expect(probes).toBe(20);
    expect(result.bandwidthGBs).toBe(105);
    expect(said).toContain('round 5 of 5: attention mixsga:3:1:6 at 40');
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
    const text = formatBenchKernels(result);
    expect(text).toContain('attention mixsga:3:1:6  40 tokens');
    expect(text).toContain('product int8            8 × 24');
    expect(text).toContain('105.0 GB/s');
  });
});

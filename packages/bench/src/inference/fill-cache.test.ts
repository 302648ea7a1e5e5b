import { createRuntime, startBackend, storedGroups } from '@mixsga/backend';
import { CachePool } from '@mixsga/kv-cache';
import { expect, it } from 'vitest';

import { fillCache } from './fill-cache';

it('fills every layer in the asked ratios, in an order of its own, with random numbers in every slot', async () => {
  await startBackend('wasm');
  const pool = new CachePool(createRuntime(), { layers: 2, formats: [1, 2, 4].map((groupSize) => storedGroups({ kvHeads: 4, headDim: 8, groupSize })), fingerprint: 'test' });
  const cache = pool.create();
  fillCache(cache, { layers: 2, ratiosOf: () => [0.3, 0.1, 0.6], tokens: 105 });
  expect(cache.tokensSeen).toBe(105);
  expect(cache.expertCounts()).toEqual([2 * 32, 2 * 11, 2 * 62]); // ⌈31.5⌉, ⌈10.5⌉, the rest
  const orders = [0, 1].map((layer) => Array.from({ length: 105 }, (_, token) => cache.expertOf(layer, token)));
  expect(orders[0]).not.toEqual(orders[1]);
  expect(orders[0]).not.toEqual(orders[0]!.toSorted());

  const { store, pages, tokens } = cache.view(1).segments[2]!;
  expect(tokens).toBe(62);
  const { k, v } = await store.read(pages[1]!, 30);
  for (const values of [k, v]) {
    expect(values).toHaveLength(30 * 8);
    expect(new Set(values).size).toBe(30 * 8);
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expect(Math.abs(deviation - 1)).toBeLessThan(0.15);
  }
  expect(k).not.toEqual(v);
  pool.dispose();
});

import { ArgumentError, HostPages } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { CachePool, type CacheLayout } from './index';

const host = { pages: ({ heads, headDim }: { heads: number; headDim: number }) => new HostPages(heads, headDim) };
const opt: CacheLayout = { layers: 12, kvHeads: 12, headDim: 64, groupSizes: [1, 2, 4], fingerprint: 'opt' };

describe('KvCache', () => {
  it('takes 36,867 bytes a token in the OPT-125m shape at 3:1:6', () => {
    const cache = new CachePool(host, opt).create();
    for (let token = 0; token < 20; token++) {
      for (let layer = 0; layer < 12; layer++) cache.view(layer);
      const expert = token < 6 ? 0 : token < 8 ? 1 : 2;
      cache.commit(Array(12).fill(expert));
    }
    expect(cache.bytes().used).toBe(20 * 36_867);
    expect(cache.expertCounts()).toEqual([72, 24, 144]);
    cache.dispose();
    expect(() => cache.bytes()).toThrow(ArgumentError);
  });
});

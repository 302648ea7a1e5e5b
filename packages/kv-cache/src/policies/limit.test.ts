import { ArgumentError, BackendError, groupingOf, HostPages, type PageFormat, type StoredFormat } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { CachePool, type CacheSpec } from '../index';
import { groups } from '../testing/drive';
import { WatchedRuntime } from '../testing/watched-pages';
import { ladder, coarserOf } from './ladder';

describe('a limit in bytes', () => {
  const coarsening = (bytes: number, spec: Partial<CacheSpec> = {}): CacheSpec => ({ policy: 'oldest', limit: { bytes }, ...spec });
  const pool = () => new CachePool(new WatchedRuntime(), { layers: 1, formats: groups(4, 1, [1]), fingerprint: 'budget' });
  const [finest, coarsest] = [2 * 4 * 4 + 8, 2 * 4 + 8];

  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 53])('is not of %d bytes', (bytes) => {
    const create = () => pool().create({ cache: coarsening(bytes), maxTokens: 1 });
    expect(create).toThrow(/^cache: expected a limit of one kind, a share above 0 and at most 1 or whole bytes from 1, got {/);
    expect(create).toThrow(ArgumentError);
  });

  it.each([null, 0, -2, 1.5])('that keeps all is not for %s tokens', (maxTokens) => {
    const create = () => pool().create({ cache: 'oldest:1000B', ...(maxTokens !== null && { maxTokens }) });
    expect(create).toThrow(`cache oldest:1000B: expected maxTokens, all of which it keeps, to be a whole number from 1, got ${maxTokens}; or a policy that evicts`);
  });

  it('of one token is the bytes of one', () => {
    expect(pool().create({ cache: coarsening(finest), maxTokens: 1 }).budget).toBe(finest);
    expect(pool().create({ maxTokens: 1 }).budget).toBe(null);
    expect(() => pool().create({ cache: coarsening(finest - 1), maxTokens: 1 })).toThrow(`at least ${finest} bytes`);
  });

  it('names a policy that keeps all, and one that evicts, where it is too small', () => {
    expect(() => pool().create({ cache: 'oldest:50B:coarsen+evict' })).toThrow(
      `cache oldest:50B:coarsen+evict: expected at least ${finest + coarsest} bytes, for a token at the coarsest and a new one, got 50`,
    );
    expect(() => pool().create({ cache: 'nacl:50B:7', maxTokens: 3 })).toThrow(
      `cache nacl:50B:7: expected at least ${2 * coarsest + finest} bytes, which 3 tokens at the coarsest need, got 50; ` +
        'ask for fewer tokens, or let it evict too (nacl:50B:7:coarsen+evict)',
    );
  });

  it('coarsens with a later step where there is no memory for it', () => {
    const runtime = new WatchedRuntime();
    const layout = { layers: 1, formats: groups(4, 1, [1]), fingerprint: 'budget' };
    const cache = new CachePool(runtime, layout).create({ cache: coarsening(4 * finest, { sizes: [4] }), maxTokens: 8 });
    for (let token = 0; token < 3; token++) {
      cache.view(0);
      cache.commit([0]);
    }
    cache.view(0);
    runtime.memory.left = 0; // the first page of coarsened tokens
    cache.commit([0]);
    expect(cache.expertCounts()).toEqual([4, 0]);
    expect(() => cache.view(0)).toThrow(BackendError);
    expect(cache.expertCounts()).toEqual([4, 0]);
    runtime.memory.left = 1;
    cache.view(0);
    expect(cache.expertCounts()).toEqual([2, 2]);
  });

  it('coarsens to whatever arena has the size, the first too', () => {
    const layout = { layers: 1, formats: groups(4, 1, [2, 1]), fingerprint: 'budget' };
    const cache = new CachePool(new WatchedRuntime(), layout).create({ cache: coarsening(4 * finest), maxTokens: 6 });
    for (let token = 0; token < 5; token++) {
      cache.view(0);
      cache.commit([1]);
    }
    expect([cache.tokensKept(0), cache.expertOf(0, 4)]).toEqual([5, 1]);
    expect(cache.expertOf(0, 0)).not.toBe(1);
    expect(cache.expertCounts()[0]).toBeGreaterThan(0);
  });

  it('leaves room for the next token, to the last byte', () => {
    for (let bytes = 5 * coarsest + finest; bytes < 6 * finest + 2; bytes++) {
      const cache = pool().create({ cache: coarsening(bytes, { sizes: [4] }), maxTokens: 6 });
      for (let token = 1; token < 6; token++) {
        cache.view(0);
        cache.commit([0]);
        expect(cache.bytes().used + finest).toBeLessThanOrEqual(bytes);
        // No token is coarsened where all fit at the finest.
        if ((token + 1) * finest <= bytes) expect(cache.expertCounts()).toEqual([token, 0]);
      }
    }
  });

  it('as a share is of what maxTokens tokens take at the finest, without entries', () => {
    const wide = new CachePool(new WatchedRuntime(), { layers: 1, formats: groups(8, 1, [1]), fingerprint: 'wide' });
    for (const [share, bytes] of [[0.29, 1856], [0.5, 3200], [1, 6400]] as const) {
      expect(wide.create({ cache: { policy: 'oldest', limit: { share } }, maxTokens: 100 }).budget).toBe(bytes);
    }
    const layouts = { layers: 2, formats: groups(4, 1, [2, 1]), fingerprint: 'two' };
    expect(new CachePool(new WatchedRuntime(), layouts).create({ cache: 'oldest:75%', maxTokens: 10 }).budget).toBe(2 * 10 * 24);
    for (const cache of ['oldest:50%', 'oldest:50%:evict']) {
      expect(() => pool().create({ cache })).toThrow(`cache ${cache}: expected maxTokens, of whose bytes it is a share, to be a whole number from 1, got null`);
    }
  });

  it('evicts tokens of formats without a coarser form', () => {
    const own = (headDim: number) => ({ name: `own:${headDim}`, kvHeads: 4, headDim: 1, stored: { heads: 2, headDim } });
    const layout = { layers: 1, formats: [own(4), own(1)], fingerprint: 'own' };
    const host = { pages: (format: PageFormat) => new HostPages(format) };
    const of = (cache: string) => new CachePool(host, layout).create({ cache, maxTokens: 20 });
    expect(() => of('h2o:50%')).toThrow('cache: expected formats that tokens can be coarsened to, got own:4, own:1; use eviction, such as h2o:0.5');
    const cache = of('oldest:160B:evict');
    for (let token = 0; token < 12; token++) {
      cache.view(0);
      cache.commit([token % 2]);
      expect(cache.bytes().used).toBeLessThanOrEqual(160);
    }
    // A token takes 32 or 8 bytes, and 8 for its entry; 40 bytes stay free for the next.
    expect(Array.from({ length: 12 }, (_, token) => cache.expertOf(0, token))).toEqual([...new Array<null>(8).fill(null), 0, 1, 0, 1]);
    expect(() => of('oldest:79B:evict')).toThrow('expected at least 80 bytes');
  });
});

describe('a limit in tokens', () => {
  it('is a share of maxTokens in whole tokens, from 1', () => {
    const kept = (share: number, maxTokens?: number) => {
      const cache = new CachePool(new WatchedRuntime(), { layers: 1, formats: groups(1, 1, [1]), fingerprint: 'tokens' }).create({ cache: `h2o:${share}`, maxTokens });
      cache.planRows(0, new Int32Array(200));
      cache.commitRows();
      return cache.tokensKept(0);
    };
    expect([kept(0.07, 100), kept(0.6, 101), kept(0.001, 3), kept(1, 7)]).toEqual([7, 61, 1, 7]);
    for (const maxTokens of [undefined, 0, 1.5, -3]) {
      expect(() => kept(0.5, maxTokens)).toThrow(`cache h2o:0.5: expected maxTokens, of which it keeps a share, to be a whole number from 1, got ${maxTokens ?? null}`);
    }
  });
});

describe('the ladder of formats', () => {
  const type = 'f32';
  const sizesOf = (formats: readonly StoredFormat[]) => groupingOf(formats)!.groupSizes;
  const of = (kvHeads: number, stored: number[], sizes: number[] | null, enough: (size: number) => boolean = () => false) =>
    sizesOf(ladder(groups(kvHeads, 1, stored), { sizes, type, enough: (form) => enough((2 * kvHeads) / form.stored.heads) }));

  it('has the coarser forms of the coarsest format, and stops at the first that is enough', () => {
    expect(of(24, [1, 3], null)).toEqual([1, 3, 6, 12, 24]);
    expect(of(12, [1], null)).toEqual([1, 2, 4]);
    expect(of(16, [1], null, (size) => size >= 4)).toEqual([1, 2, 4]);
    expect(of(4, [1, 2, 4], null)).toEqual([1, 2, 4]);
  });

  it('has the sizes that are named, each once and in order, or the forms that are known', () => {
    expect(of(12, [2, 1], [6, 4, 6, 2])).toEqual([2, 1, 4, 6]);
    expect(of(12, [1], [12])).toEqual([1, 12]);
    const known = { known: groups(12, 1, [1, 12, 3]), type, enough: () => false } as const;
    expect(sizesOf(ladder(groups(12, 1, [1]), { ...known, sizes: null }))).toEqual([1, 3, 12]);
    expect(sizesOf(ladder(groups(12, 1, [1]), { ...known, sizes: [2] }))).toEqual([1, 2]);
  });

  it('refuses sizes that do not divide, and those that nothing is coarsened to', () => {
    for (const size of [0, 5, 24]) expect(() => of(12, [1], [2, size])).toThrow(`cache: expected sizes that divide 12, got ${size}`);
    expect(() => of(4, [4], null)).toThrow('cache: expected formats that tokens can be coarsened to, got grouped:4; use eviction');
    expect(() => of(6, [2], [3])).toThrow('cache: expected formats that tokens can be coarsened to, got grouped:2, grouped:3; use eviction');
  });

  it('coarsens to the least multiple', () => {
    const formats = groups(12, 1, [2, 3, 12, 6, 4, 2]);
    expect(formats.map((_, arena) => coarserOf(formats, arena, type))).toEqual([4, 3, null, 2, 2, 4]);
  });
});

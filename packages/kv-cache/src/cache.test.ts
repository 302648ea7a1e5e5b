import { ArgumentError, BackendError, groupingOf, HostPages, storedLatent, TOKENS_PER_PAGE, type PageStore, type StoredFormat, type StoredShape } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { CachePool, kvBytesPerToken, type CacheLayout, type CreateOptions, type KvCache } from './index';
import { groups } from './testing/drive';
import { WatchedRuntime } from './testing/watched-pages';

const opt: CacheLayout = { layers: 12, formats: groups(12, 64, [1, 2, 4]), fingerprint: 'opt-125m' };
const small: CacheLayout = { layers: 2, formats: groups(4, 2, [1, 2, 4]), fingerprint: 'small' };

/** Pages without memory, to count the bytes of large caches. */
const weightless = {
  pages: ({ heads, headDim }: { heads: number; headDim: number }) => {
    let pages = 0;
    const bytesPerPage = 2 * 4 * TOKENS_PER_PAGE * heads * headDim;
    const store: Partial<PageStore> = {
      heads, headDim, type: 'f32', bytesPerToken: bytesPerPage / TOKENS_PER_PAGE, bytesPerPage, allocate: () => pages++, release() {}, move() {}, dispose() {},
      get allocatedBytes() { return pages * bytesPerPage; },
    };
    return store as PageStore;
  },
};

function step(cache: KvCache, layers: number, expert: number): void {
  for (let layer = 0; layer < layers; layer++) cache.view(layer);
  cache.commit(Array<number>(layers).fill(expert));
}

describe('bytes', () => {
  it('are 36,867 a token in the OPT-125m shape at 3:1:6', () => {
    const cache = new CachePool(weightless, opt).create();
    for (const [expert, tokens] of [6, 2, 12].entries()) for (let i = 0; i < tokens; i++) step(cache, 12, expert);
    expect(cache.bytes().used).toBe(20 * 36_867);
    expect(cache.expertCounts()).toEqual([72, 24, 144]);
  });

  it('allocated are at most 1.03 of those used, about 4096 tokens of that shape', () => {
    const pool = new CachePool(weightless, opt);
    const cache = pool.create();
    const ratios: number[] = [];
    for (let token = 0; token < 4300; token++) {
      step(cache, 12, [0, 2, 2, 1, 2, 0, 2, 2, 0, 2][token % 10]!);
      const { used, allocated } = cache.bytes();
      if (token >= 3800) ratios.push(allocated / used);
      if (token !== 4095) continue;
      // Per layer 1229, 410 and 2457 tokens in 39, 13 and 77 pages; 1024 bytes of index in a buffer of 1038.
      expect(used).toBe(12 * ((1229 * 12 + 410 * 6 + 2457 * 3) * 512 + 1024));
      expect(allocated).toBe(12 * ((39 * 12 + 13 * 6 + 77 * 3) * 32 * 512 + 1038));
      expect(allocated / used).toBeLessThan(1.012);
      expect(pool.allocatedBytes).toBe(allocated - 12 * 1038);
    }
    expect(Math.max(...ratios)).toBeLessThanOrEqual(1.03);
  });

  it('of int8 are those of the numbers and a scale for each stored head, of keys and of values', () => {
    const pool = new CachePool(new WatchedRuntime(), { ...opt, layers: 1, type: 'int8' });
    const cache = pool.create();
    for (const [expert, tokens] of [6, 2, 12].entries()) for (let i = 0; i < tokens; i++) step(cache, 1, expert);
    const tokenBytes = [12, 6, 3].map((heads) => 2 * heads * (64 + 4));
    expect(cache.bytes().used).toBe(6 * tokenBytes[0]! + 2 * tokenBytes[1]! + 12 * tokenBytes[2]! + 5);
    expect(cache.stored).toEqual([24, 12, 6].map((heads, expert) => ({ heads, headDim: 64, bytes: tokenBytes[expert]! })));
    expect(pool.allocatedBytes).toBe(32 * (tokenBytes[0]! + tokenBytes[1]! + tokenBytes[2]!));
    // 3:1:6 over 12 layers, as kvBytesPerToken has it.
    const { fingerprint: _, ...layout } = opt;
    expect(kvBytesPerToken({ ...layout, ratios: [3, 1, 6], type: 'int8' })).toBe(12 * 6 * 2 * 68 + 3);
    expect(() => new CachePool(weightless, { ...opt, type: 'int8' })).toThrow('CachePool: expected a runtime with pages of int8, got pages of f32');
  });

  it('count no index for a single expert, and position and score of each token with a policy', () => {
    const gqa = new CachePool(weightless, { ...opt, formats: groups(12, 64, [2]) });
    const plain = gqa.create();
    const evicting = gqa.create({ cache: 'window:0.5', maxTokens: 10 });
    for (let token = 0; token < 8; token++) for (const cache of [plain, evicting]) step(cache, 12, 0);
    expect(plain.bytes().used).toBe(8 * 36_864);
    expect(evicting.bytes().used).toBe(5 * (36_864 + 12 * 8));
    expect(evicting.bytes().allocated).toBe(12 * (98_304 + 32 * 8));
  });

  it('of a page that forks share are shared out among them', () => {
    const runtime = new WatchedRuntime();
    const pool = new CachePool(runtime, { ...small, formats: groups(4, 2, [1]) });
    const cache = pool.create();
    for (let token = 0; token < 40; token++) step(cache, 2, 0);
    const pages = (caches: KvCache[]) => caches.map((each) => (each.bytes().allocated - 2) / runtime.stores[0]!.bytesPerPage);
    expect(pages([cache])).toEqual([4]);
    const [a, b] = [cache.fork(), cache.fork()];
    expect(pages([cache, a, b]).map((n) => Math.round(n * 3))).toEqual([4, 4, 4]);
    // Only the page that is not full is copied, with the 8 tokens that are in it.
    step(a, 2, 0);
    expect(runtime.taken).toBe(6);
    expect(pages([cache, a, b]).map((n) => Math.round(n * 6))).toEqual([10, 16, 10]);
    b.dispose();
    cache.dispose();
    expect(pages([a])).toEqual([4]);
    expect(runtime.taken).toBe(4);
    expect(pool.allocatedBytes).toBe(6 * runtime.stores[0]!.bytesPerPage);
  });
});

describe('a step', () => {
  it('has a slot for each expert, the same until it is committed', () => {
    const pool = new CachePool(new WatchedRuntime(), small);
    const cache = pool.create();
    for (let token = 0; token < 33; token++) step(cache, 2, 2);
    const view = cache.view(1);
    expect(view.segments.map(({ store, tokens, pages }) => [store.heads, tokens, pages.length])).toEqual([[4, 0, 1], [2, 0, 1], [1, 33, 2]]);
    expect(view.slots.map(({ offset }) => offset)).toEqual([0, 0, 1]);
    expect(cache.view(1)).toEqual(view);
    expect(cache.tokensKept(1)).toBe(33);
    cache.view(0);
    cache.commit([2, 0]);
    expect([cache.tokensSeen, cache.expertOf(0, 33), cache.expertOf(1, 33)]).toEqual([34, 2, 0]);
    expect(cache.expertCounts()).toEqual([1, 0, 67]);
  });

  it('never changes page numbers that were given out', () => {
    const cache = new CachePool(new WatchedRuntime(), small).create();
    step(cache, 2, 0);
    const { pages } = cache.view(0).segments[0]!;
    const copy = [...pages];
    const fork = cache.fork();
    for (let token = 0; token < 70; token++) step(cache, 2, 0);
    expect(pages).toEqual(copy);
    expect(cache.view(0).segments[0]!.pages).toHaveLength(3);
    expect(fork.view(0).segments[0]!.pages).toHaveLength(1);
  });

  it('that lacks memory leaves the cache as it is, and can be tried again', () => {
    const runtime = new WatchedRuntime();
    const cache = new CachePool(runtime, small).create();
    for (let token = 0; token < 32; token++) step(cache, 2, 1);
    runtime.memory.left = 1;
    cache.view(0);
    expect(() => cache.view(1)).toThrow(BackendError);
    expect(() => cache.commit([1, 1])).toThrow('KvCache.commit: layer 1 has no slot for the token; call view(1) first');
    expect([cache.tokensSeen, cache.tokensKept(0), cache.tokensKept(1)]).toEqual([32, 32, 32]);
    runtime.memory.left = 1;
    step(cache, 2, 1);
    expect([cache.tokensSeen, cache.tokensKept(0), cache.tokensKept(1)]).toEqual([33, 33, 33]);
  });

  it('has to be viewed first, and again after the cache changed', () => {
    const cache = new CachePool(new WatchedRuntime(), small).create();
    const message = 'KvCache.commit: layer 0 has no slot for the token; call view(0) first';
    expect(() => cache.commit([0, 0])).toThrow(message);
    step(cache, 2, 0);
    expect(() => cache.commit([0, 0])).toThrow(message);
    for (const change of [() => cache.truncate(1), () => cache.planRows(0, new Int32Array(1))]) {
      cache.view(1);
      cache.view(0);
      change();
      expect(() => cache.commit([0, 0])).toThrow(message);
    }
  });
});

describe('bulk append', () => {
  it('plans rows by expert, behind the tokens there are', () => {
    const cache = new CachePool(new WatchedRuntime(), small).create();
    step(cache, 2, 2);
    const plans = [0, 1].map((layer) => cache.planRows(layer, Int32Array.of(2, 0, 2, 2, 0)));
    const [full, quarter] = plans[0]!;
    expect(plans[0]).toHaveLength(2);
    expect([full!.segment.format!.name, full!.firstSlot, [...full!.rows], full!.segment.store.heads]).toEqual(['grouped:1', 0, [1, 4], 4]);
    expect([quarter!.segment.format!.name, quarter!.firstSlot, [...quarter!.rows], quarter!.segment.store.heads]).toEqual(['grouped:4', 1, [0, 2, 3], 1]);
    expect(cache.tokensSeen).toBe(1);
    cache.commitRows();
    expect([cache.tokensSeen, cache.expertCounts()]).toEqual([6, [4, 0, 8]]);
    expect([0, 1, 2, 3, 4, 5].map((token) => cache.expertOf(1, token))).toEqual([2, 2, 0, 2, 2, 0]);
  });

  it('counts only when every layer has a plan of as many rows', () => {
    const cache = new CachePool(new WatchedRuntime(), small).create();
    cache.planRows(0, new Int32Array(3));
    expect(() => cache.commitRows()).toThrow('KvCache.commitRows: layer 1 has no plan; call planRows(1, experts) first');
    cache.planRows(1, new Int32Array(4));
    expect(() => cache.commitRows()).toThrow('KvCache.commitRows: expected plans of as many rows, got 3, 4');
    cache.planRows(0, new Int32Array(4));
    cache.view(1);
    expect(() => cache.commitRows()).toThrow('KvCache.commitRows: layer 1 has no plan; call planRows(1, experts) first');
    expect(cache.tokensSeen).toBe(0);
  });

  it('that lacks memory gives every planned page back', () => {
    const runtime = new WatchedRuntime();
    const cache = new CachePool(runtime, small).create();
    runtime.memory.left = 5;
    cache.planRows(0, new Int32Array(100));
    expect(runtime.taken).toBe(4);
    expect(() => cache.planRows(1, new Int32Array(100))).toThrow(BackendError);
    expect(runtime.taken).toBe(0);
    expect(() => cache.commitRows()).toThrow('KvCache.commitRows: layer 0 has no plan');
  });
});

describe('a cache', () => {
  it('refuses what it does not hold', () => {
    const cache = new CachePool(new WatchedRuntime(), small).create();
    step(cache, 2, 0);
    const refusals: [() => unknown, string][] = [
      [() => cache.view(2), 'KvCache.view: expected a layer below 2, got 2'],
      [() => cache.tokensKept(-1), 'KvCache.tokensKept: expected a layer below 2, got -1'],
      [() => cache.expertOf(0, 1), 'KvCache.expertOf: expected a token below 1, got 1'],
      [() => cache.commit([0]), 'KvCache.commit: expected an expert for each of 2 layers, got 1'],
      [() => cache.commit([3, 0]), 'KvCache.commit: expected an expert below 3, got 3'],
      [() => cache.planRows(0, Int32Array.of(0, -1)), 'KvCache.planRows: expected an expert below 3, got -1'],
      [() => cache.observe(0, 3, new Float32Array(1)), 'KvCache.observe: expected an expert below 3, got 3'],
      [() => cache.observeRows(0, new Float32Array(1)), 'KvCache.observeRows: expected a plan, got 1 probabilities'],
      [() => cache.truncate(2), 'KvCache.truncate: expected 0 to 1 tokens, got 2'],
      [() => cache.truncate(0.5), 'KvCache.truncate: expected 0 to 1 tokens, got 0.5'],
    ];
    for (const [f, message] of refusals) {
      expect(f).toThrow(message);
      expect(f).toThrow(ArgumentError);
    }
    expect([cache.tokensSeen, cache.tokensKept(0)]).toEqual([1, 1]);
  });

  it('gives its pages back once, and can not be used after', async () => {
    const runtime = new WatchedRuntime();
    const pool = new CachePool(runtime, small);
    const [cache, other] = [pool.create(), pool.create()];
    for (const each of [cache, other]) step(each, 2, 0);
    expect(runtime.taken).toBe(12);
    cache.reset();
    expect([runtime.taken, cache.tokensSeen, cache.bytes().used]).toEqual([6, 0, 0]);
    cache.dispose();
    cache.dispose();
    for (const f of [
      () => cache.view(0), () => cache.fork(), () => cache.bytes(), () => cache.commitRows(), () => cache.truncate(0), () => cache.expertCounts(), () => cache.commit([0, 0]),
      () => cache.tokensKept(0), () => cache.expertOf(0, 0), () => cache.planRows(0, new Int32Array(1)), () => cache.observe(0, 0, new Float32Array(1)), () => cache.reset(),
    ]) {
      expect(f).toThrow('this cache is disposed; create another one');
      expect(f).toThrow(ArgumentError);
    }
    await expect(cache.serialise()).rejects.toThrow('this cache is disposed');
    pool.dispose();
    pool.dispose();
    expect([runtime.taken, pool.allocatedBytes]).toEqual([0, 0]);
    expect(() => other.view(0)).toThrow('this cache is disposed');
    expect(() => pool.create()).toThrow('CachePool.create: this pool is disposed; make another one');
  });

  it('is not restored into a pool that was disposed meanwhile', async () => {
    const bytes = await new CachePool(new WatchedRuntime(), small).create().serialise();
    const pool = new CachePool(new WatchedRuntime(), small);
    const restored = pool.restore(bytes);
    pool.dispose();
    const message = 'CachePool.restore: this pool is disposed; make another one';
    await Promise.all([restored, pool.restore(bytes)].map((each) => expect(each).rejects.toThrow(message)));
  });

  it('says what it ranks by', () => {
    const pool = new CachePool(new WatchedRuntime(), small);
    const traits = (options: CreateOptions) => {
      const { moves, observes, budget, formats } = pool.create({ ...options, maxTokens: 10 });
      return [moves, observes, budget, groupingOf(formats)!.groupSizes];
    };
    expect(traits({})).toEqual([false, false, null, [1, 2, 4]]);
    expect(traits({ cache: 'window:0.5' })).toEqual([true, false, null, [1, 2, 4]]);
    expect(traits({ cache: 'h2o:0.5' })).toEqual([true, true, null, [1, 2, 4]]);
    expect(traits({ cache: 'mean-attention:9999B' })).toEqual([true, true, 9999, [1, 2, 4]]);
    expect(traits({ cache: 'oldest:9999B' })).toEqual([true, false, 9999, [1, 2, 4]]);
  });

  it('needs a layout with counts from 1 and formats of one layer', () => {
    const make = (change: Partial<CacheLayout>) => () => new CachePool(new WatchedRuntime(), { ...small, ...change });
    for (const many of [0, 257]) expect(make({ formats: groups(4, 2, new Array<number>(many).fill(1)) })).toThrow(`CachePool: expected 1 to 256 formats, got ${many}`);
    for (const change of [{ layers: 1 }, { formats: groups(4, 1, [1]) }, { formats: groups(1, 2, [1]) }, { formats: groups(4, 2, new Array<number>(256).fill(1)) }]) expect(make(change)).not.toThrow();
    const own = (stored: StoredShape, change: Partial<StoredFormat> = {}) => ({ name: 'own', kvHeads: 4, headDim: 2, stored, ...change });
    for (const bad of [{ heads: 0, headDim: 8 }, { heads: 1, headDim: 0 }, { heads: 1, headDim: 1.5 }, { heads: 0.5, headDim: 1 }]) {
      expect(make({ formats: [own({ heads: 1, headDim: 8 }), own(bad)] })).toThrow(`CachePool: expected the counts of format own to be whole numbers from 1, got {"kvHeads":4,"headDim":2,"stored":${JSON.stringify(bad)}}`);
    }
    const packing = { bytes: 0.5, pack: () => undefined, unpack: () => undefined };
    expect(make({ formats: [own({ heads: 1, headDim: 8, packing })] })).toThrow('CachePool: expected the counts of format own');
    expect(make({ formats: [own({ heads: 1, headDim: 8 }), own({ heads: 1, headDim: 8 }, { name: 'wide', kvHeads: 8 })] })).toThrow('CachePool: expected formats of 4 KV heads of 2, as own has, got 8 of 2 in wide');
    expect(make({ formats: [own({ heads: 1, headDim: 8 }), own({ heads: 1, headDim: 7 })] })).toThrow('CachePool: expected formats of one name to store the same, got two of own');
    expect(make({ layers: 0 })).toThrow('CachePool: expected layers to be a whole number from 1, got 0');
  });

  it('shares one store among experts of as many stored heads', () => {
    const runtime = new WatchedRuntime();
    new CachePool(runtime, { ...small, formats: groups(4, 2, [1, 2, 1, 4]) });
    expect(runtime.stores.map(({ heads }) => heads)).toEqual([4, 2, 1]);
  });
});

describe('a sliding window', () => {
  const two: CacheLayout = { layers: 2, formats: groups(4, 2, [1, 2, 4]), fingerprint: 'windows' };
  const experts = (token: number) => (token * token + 1) % 3;
  const append = (cache: KvCache, from: number, end: number) => {
    for (let token = from; token < end; token++) {
      cache.view(0, { window: 10 });
      cache.view(1);
      cache.commit([experts(token), 0]);
    }
  };
  const hidden = (cache: KvCache, window: number) => cache.view(0, { window }).segments.map(({ from }) => from ?? 0);
  const expected = (tokens: number, window: number) => [0, 1, 2].map((expert) => (
    Array.from({ length: Math.max(0, tokens + 1 - window) }, (_, token) => experts(token)).filter((e) => e === expert).length
  ));

  it('tells for each expert how many of its first tokens are before it', () => {
    const cache = new CachePool(new WatchedRuntime(), two).create();
    for (let token = 0; token < 100; token++) {
      append(cache, token, token + 1);
      expect(hidden(cache, 10)).toEqual(expected(token + 1, 10));
    }
    for (const window of [1, 70, 101, 102, 3]) expect(hidden(cache, window)).toEqual(expected(100, window));
    expect(cache.view(1, { window: 10 }).segments.map(({ from }) => from)).toEqual([91, 0, 0]);
    expect(cache.view(0).segments.map(({ from }) => from)).toEqual([undefined, undefined, undefined]);
  });

  it('is right after a cut, in a fork, and when restored', async () => {
    const pool = new CachePool(new WatchedRuntime(), two);
    const cache = pool.create();
    append(cache, 0, 60);
    const fork = cache.fork();
    cache.truncate(20);
    expect(hidden(cache, 10)).toEqual(expected(20, 10));
    append(cache, 20, 35);
    expect(hidden(cache, 10)).toEqual(expected(35, 10));
    const restored = await pool.restore(await fork.serialise());
    for (const each of [fork, restored]) expect(hidden(each, 10)).toEqual(expected(60, 10));
    cache.reset();
    expect(hidden(cache, 10)).toEqual([0, 0, 0]);
  });

  it('must have every token that a policy keeps', () => {
    const cache = new CachePool(new WatchedRuntime(), two).create({ cache: 'window:0.5', maxTokens: 40 });
    for (let token = 0; token < 9; token++) step(cache, 2, 0);
    expect(hidden(cache, 10)).toEqual([0, 0, 0]);
    step(cache, 2, 0);
    expect(() => cache.view(0, { window: 10 })).toThrow(ArgumentError);
    const newest = new CachePool(new WatchedRuntime(), two).create({ cache: 'window:0.5', maxTokens: 2 });
    for (let token = 0; token < 12; token++) step(newest, 2, token % 3);
    expect(hidden(newest, 10)).toEqual([0, 0, 0]);
    expect(() => cache.view(0, { window: 10 })).toThrow('got one from token 1 on, and token 0 is kept; keep all tokens');
  });
});

describe('a limit in bytes over latents', () => {
  const latent: CacheLayout = {
    layers: 1, formats: [storedLatent({ kvHeads: 2, headDim: 8, rank: 16 })], fingerprint: 'latent',
  };

  const host: ConstructorParameters<typeof CachePool>[0] = {
    pages: (format) => new HostPages(format),
  };

  /** A token whose dimensions tell it and their place. */
  function append(cache: KvCache, token: number): void {
    const { segments, slots } = cache.view(0);
    segments[0]!.store.write(slots[0]!.page, slots[0]!.offset, Float32Array.from({ length: 16 }, (_, i) => 100 * token + i), new Float32Array(0));
    cache.commit([0]);
  }

  it('keeps the first dimensions of the least important tokens', async () => {
    const pool = new CachePool(host, latent);
    const bytes = 40 * (4 * 4 + 8) + 72;
    const cache = pool.create({ cache: `oldest@2,4:${bytes}B`, maxTokens: 41 });
    for (let token = 0; token < 40; token++) {
      append(cache, token);
      expect(cache.bytes().used).toBeLessThanOrEqual(bytes);
    }
    expect(cache.tokensKept(0)).toBe(40);
    const seen = new Set<number>();
    for (const [arena, { store, pages, tokens }] of cache.view(0).segments.entries()) {
      expect(store.headDim).toBe([16, 8, 4][arena]);
      for (let first = 0; first < tokens; first += TOKENS_PER_PAGE) {
        const { k } = await store.read(pages[first / TOKENS_PER_PAGE]!, Math.min(TOKENS_PER_PAGE, tokens - first));
        for (let at = 0; at < k.length; at += store.headDim) {
          const token = k[at]! / 100;
          expect(cache.expertOf(0, token)).toBe(arena);
          expect(Array.from(k.subarray(at, at + store.headDim))).toEqual(Array.from({ length: store.headDim }, (_, i) => 100 * token + i));
          seen.add(token);
        }
      }
    }
    expect(seen.size).toBe(40);
  });

  it('is coarsened no further than until all tokens at the coarsest would take two thirds of the bytes, also when it is restored for more', async () => {
    const pool = new CachePool(host, latent);
    const names = (...ranks: number[]) => ranks.map((rank) => `latent:${rank}`);
    const formatsOf = (cache: KvCache) => cache.formats.map(({ name }) => name);
    // A float32 for each dimension, and 8 bytes.
    for (const [share, ranks] of [[60, [16, 8]], [36, [16, 8, 4]], [35, [16, 8, 4, 2]], [24, [16, 8, 4, 2]], [18, [16, 8, 4, 2, 1]], [13, [16, 8, 4, 2, 1]]] as const) {
      expect(formatsOf(pool.create({ cache: `oldest:${100 * share}B`, maxTokens: 100 }))).toEqual(names(...ranks));
    }
    expect(formatsOf(pool.create({ cache: 'oldest:7200B:coarsen+evict' }))).toEqual(names(16, 8, 4, 2, 1));
    const cache = pool.create({ cache: 'mean-attention:3600B', maxTokens: 100 });
    append(cache, 0);
    const restored = await pool.restore(await cache.serialise(), { maxTokens: 140 });
    expect(formatsOf(restored)).toEqual(names(16, 8, 4));
    expect(() => pool.create({ cache: 'oldest@2:3600B', maxTokens: 140 })).toThrow('cache oldest@2:3600B: expected at least');
  });

  it('goes down to shorter latents from those of several experts, and is restored by their names', async () => {
    const pool = new CachePool(host, { ...latent, formats: [16, 8].map((rank) => storedLatent({ kvHeads: 2, headDim: 8, rank })) });
    const cache = pool.create({ cache: 'oldest:1500B', maxTokens: 41 });
    for (let token = 0; token < 40; token++) {
      append(cache, token);
      expect(cache.bytes().used).toBeLessThanOrEqual(1500);
    }
    expect(cache.formats.map(({ name }) => name)).toEqual(['latent:16', 'latent:8', 'latent:4']);
    expect(cache.tokensKept(0)).toBe(40);
    const bytes = await cache.serialise();
    expect(new TextDecoder().decode(bytes)).toContain('"formats":["latent:16","latent:8","latent:4"]');
    const restored = await pool.restore(bytes);
    expect([restored.expertCounts(), await restored.serialise()]).toEqual([cache.expertCounts(), bytes]);
  });

  it('is refused of formats without a coarser form, and for sizes that do not divide', () => {
    const create = (formats: readonly StoredFormat[], policy = 'oldest') => () =>
      new CachePool(host, { ...latent, formats }).create({ cache: `${policy}:1000000B`, maxTokens: 9 });
    const own = { name: 'own', kvHeads: 2, headDim: 8, stored: { heads: 1, headDim: 16 } };
    expect(create([own])).toThrow('cache: expected formats that tokens can be coarsened to, got own; use eviction, such as h2o:0.5');
    expect(create([own], 'oldest@2')).toThrow('cache: expected no sizes for own, which has no coarser form, got 2');
    expect(create(latent.formats, 'oldest@3')).toThrow('cache: expected sizes that divide 16, got 3');
  });
});

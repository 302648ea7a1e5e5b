import { BackendError, groupingOf, slotOf, type LayerView, type PageStore, type Slot, type StoredFormat } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CachePool, formatCacheSpec, policies, resolveCacheSpec, type CacheLayout, type CachePolicy, type CacheSpec, type KvCache, type ResolvedSpec } from './index';
import { groups } from './testing/drive';
import { WatchedRuntime, type WatchedPages } from './testing/watched-pages';

// Random histories of several caches of a pool, against a plain model: for each layer an array of its tokens.

/** KV head h of the token has value + h/64 in every element of its keys, and the negative in every element of its values. */
interface Token {
  position: number;
  /** Its arena. */
  expert: number;
  value: number;
  score: number;
}

/** A cache and what it should hold. */
interface Pair {
  cache: KvCache;
  layers: Token[][];
  seen: number;
}

const MAX_TOKENS = 60;

/** A token's rank, anew: the lowest go first. A policy without a line here is held to its own ranks. */
type Rank = (token: Token, seen: number, capacity: number) => number;

/** The newest half goes last. */
function unlessNewest(rank: Rank): Rank {
  return (token, seen, capacity) => (token.position >= seen - Math.ceil(capacity / 2) ? Infinity : rank(token, seen, capacity));
}

const rankOf: Partial<Record<string, Rank>> = {
  // The first 4 stay.
  window: ({ position }, _, capacity) => (position < Math.min(4, capacity - 1) ? Infinity : position),
  h2o: unlessNewest(({ score }) => score),
  // A token is seen by its own query and by all later ones.
  'mean-attention': unlessNewest(({ position, score }, seen) => score / (seen - position)),
  oldest: ({ position }) => position,
};

/** How much a cache may hold: `share` of what {@link MAX_TOKENS} need at the finest. */
interface Limited extends Omit<CacheSpec, 'limit' | 'policy'> {
  readonly policy: CachePolicy;
  readonly tokens?: number;
  readonly share?: number;
}

// Chance is in what some evict: what is gone is read from the cache, and what they coarsen can't be said anew.
const limits: readonly (Limited | null)[] = [null, ...Object.values<CachePolicy>(policies).flatMap((policy): Limited[] => [
  { policy, tokens: 0.6, ...(policy.draws && { seed: 5 }) },
  ...(policy.draws ? [] : [{ policy, share: 0.4 }, { policy, share: 0.15, action: 'coarsen+evict' as const }]),
]), { policy: policies.h2o, share: 0.3, action: 'evict' }];

function sizesOf(formats: readonly StoredFormat[]): readonly number[] {
  return groupingOf(formats)!.groupSizes;
}

function nameOf(limited: Limited | null): string {
  if (!limited) return 'none';
  const { tokens, share, ...spec } = limited;
  return formatCacheSpec({ ...spec, limit: tokens === undefined ? { share: share! } : { tokens } });
}

function byKey(tokens: Token[], key: (token: Token) => number): Token[] {
  return [...tokens].sort((a, b) => key(a) - key(b) || a.position - b.position);
}

const kinds = ['step', 'steps', 'rows', 'failed', 'truncate', 'fork', 'restore', 'reset', 'dispose'] as const;
const command = fc.record({
  kind: fc.constantFrom(...kinds, 'steps' as const, 'rows' as const),
  pair: fc.nat(3),
  n: fc.nat(99),
  seed: fc.nat(1e6),
  /** Pages that can be had while it runs; it is tried again with all when they were too few. */
  pages: fc.oneof(fc.constant(Infinity), fc.nat(6)),
});
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

class Trace {
  readonly runtime = new WatchedRuntime();
  readonly pool: CachePool;
  readonly spec: ResolvedSpec | null;
  readonly bytes: number | null;
  /** Of the arenas. */
  readonly groupSizes: readonly number[];
  readonly #kvHeads: number;
  readonly #headDim: number;
  pairs: Pair[] = [];
  #value = 0;

  constructor(
    readonly layout: CacheLayout,
    limited: Limited | null,
  ) {
    this.pool = new CachePool(this.runtime, layout);
    [{ kvHeads: this.#kvHeads, headDim: this.#headDim }] = layout.formats as [StoredFormat];
    const { tokens, share, ...spec } = limited ?? {};
    this.bytes = share === undefined ? null : layout.layers * Math.ceil(share * MAX_TOKENS * this.#bytesOf(Math.min(...sizesOf(layout.formats))));
    this.spec = resolveCacheSpec(limited ? { ...(spec as Limited), limit: tokens === undefined ? { bytes: this.bytes! } : { tokens } } : undefined);
    const cache = this.create().cache;
    this.groupSizes = sizesOf(cache.formats);
    cache.dispose();
  }

  /** Bytes of a token of a layer, with its entry. */
  #bytesOf(groupSize: number): number {
    return (2 * this.#kvHeads * (this.layout.type === 'int8' ? this.#headDim + 4 : 4 * this.#headDim)) / groupSize + 8;
  }

  create(): Pair {
    const cache = this.pool.create({ maxTokens: MAX_TOKENS, ...(this.spec && { cache: { ...this.spec, sizes: this.spec.sizes ?? undefined } }) });
    return { cache, layers: Array.from({ length: this.layout.layers }, () => []), seen: 0 };
  }

  async run({ kind, pair: which, n, seed, pages }: Command): Promise<void> {
    if (this.pairs.length === 0) this.pairs.push(this.create());
    const at = which % this.pairs.length;
    const pair = this.pairs[at]!;
    const scarce = <T>(f: () => T) => this.#scarce(pages, f);
    switch (kind) {
      case 'step': return void (this.#fits(pair, 1) && this.#step(pair, seed, scarce, n % 3 === 0));
      case 'steps': {
        for (let i = 0; i <= n % 40; i++) if (this.#fits(pair, 1)) this.#step(pair, seed + i, scarce, false);
        return;
      }
      case 'rows': return void (this.#fits(pair, n) && this.#rows(pair, n, seed, scarce));
      case 'failed': {
        if (!this.#fits(pair, Math.max(1, n))) return;
        pair.layers.forEach((_, layer) => this.#observe(pair, layer, this.#token(pair, layer, seed), seed));
        if (n % 2 === 0) return pair.cache.truncate(pair.seen);
        return pair.layers.forEach((_, layer) => pair.cache.planRows(layer, new Int32Array(n)));
      }
      case 'truncate': {
        const seen = Math.floor((pair.seen * n) / 100);
        scarce(() => pair.cache.truncate(seen));
        pair.layers = pair.layers.map((tokens) => tokens.filter(({ position }) => position < seen));
        pair.seen = seen;
        return;
      }
      case 'fork': {
        if (this.pairs.length < 4) this.pairs.push({ ...copyOf(pair), cache: pair.cache.fork() });
        return;
      }
      case 'restore': {
        const bytes = await pair.cache.serialise();
        const before = this.runtime.taken;
        this.runtime.memory.left = pages;
        const cache = await this.pool.restore(bytes).catch((error: unknown) => {
          expect(BackendError.isInstance(error) && this.runtime.taken === before).toBe(true);
          this.runtime.memory.left = Infinity;
          return this.pool.restore(bytes);
        });
        this.runtime.memory.left = Infinity;
        pair.cache.dispose();
        pair.cache = cache;
        return;
      }
      case 'reset': {
        pair.cache.reset();
        return void Object.assign(pair, { layers: pair.layers.map(() => []), seen: 0 });
      }
      case 'dispose': {
        pair.cache.dispose();
        this.pairs.splice(at, 1);
      }
    }
  }

  /** Without eviction a cache was made for a number of tokens; one less, since the checks view a cache as a step does. */
  #fits({ seen }: Pair, tokens: number): boolean {
    return this.spec?.action !== 'coarsen' || seen + tokens < MAX_TOKENS;
  }

  /** Runs something that may lack memory, which then has to leave the cache as it was. */
  #scarce<T>(pages: number, f: () => T): T {
    this.runtime.memory.left = pages;
    try {
      return f();
    } catch (error) {
      if (!BackendError.isInstance(error)) throw error;
      this.runtime.memory.left = Infinity;
      return f();
    } finally {
      this.runtime.memory.left = Infinity;
    }
  }

  #token({ seen }: Pair, layer: number, seed: number): Token {
    const expert = (seed * 7 + layer * 3 + (seed >> 3)) % this.layout.formats.length;
    return { position: seen, expert, value: ++this.#value, score: 0 };
  }

  #step(pair: Pair, seed: number, scarce: (f: () => LayerView) => LayerView, forked: boolean): void {
    const { cache, layers } = pair;
    const tokens = layers.map((_, layer) => this.#token(pair, layer, seed));
    tokens.forEach((token, layer) => {
      const { segments, slots } = scarce(() => cache.view(layer));
      this.#write(segments[token.expert]!.store, slots[token.expert]!, token);
      if (cache.observes) this.#observe(pair, layer, token, seed);
    });
    // A fork in the middle of a step does not disturb it.
    const fork = forked && this.pairs.length < 4 ? { ...copyOf(pair), cache: cache.fork() } : null;
    cache.commit(tokens.map(({ expert }) => expert));
    if (fork) this.pairs.push(fork);
    pair.seen++;
    layers.forEach((kept, layer) => {
      kept.push(tokens[layer]!);
      if (cache.observes) for (const token of kept) token.score = Math.fround(token.score + probability(token, seed));
      this.#evict(pair, layer);
    });
  }

  #rows(pair: Pair, n: number, seed: number, scarce: <T>(f: () => T) => T): void {
    const rows = pair.layers.map((_, layer) =>
      Array.from({ length: n }, (_, i) => ({ ...this.#token(pair, layer, seed + i), position: pair.seen + i })),
    );
    scarce(() => rows.forEach((tokens, layer) => {
      for (const { segment, firstSlot, rows: numbers } of pair.cache.planRows(layer, Int32Array.from(tokens, (t) => t.expert))) {
        expect(2 * segment.store.heads).toBe(segment.format!.stored.heads);
        numbers.forEach((row, i) => this.#write(segment.store, slotOf(segment, firstSlot + i), tokens[row]!));
      }
      if (pair.cache.observes) pair.cache.observeRows(layer, Float32Array.from(tokens, (token) => probability(token, seed)));
    }));
    pair.cache.commitRows();
    pair.seen += n;
    pair.layers.forEach((kept, layer) => {
      for (const token of rows[layer]!) if (pair.cache.observes) token.score = probability(token, seed);
      kept.push(...rows[layer]!);
      this.#evict(pair, layer);
    });
  }

  #observe({ cache, layers }: Pair, layer: number, token: Token, seed: number): void {
    cache.view(layer).segments.forEach((_, segment) => {
      const tokens = slotsOf(cache, layer, segment, layers[layer]!);
      if (token.expert === segment) tokens.push(token);
      cache.observe(layer, segment, Float32Array.from(tokens, (t) => probability(t, seed)));
    });
  }

  #write(store: PageStore, { page, offset }: Slot, { value }: Token): void {
    const row = this.#rowOf(value, store);
    store.write(page, offset, row, row.map((x) => -x));
  }

  /** Each stored head has the mean of its group. */
  #rowOf(value: number, { heads, headDim }: PageStore): Float32Array {
    const groupSize = this.#kvHeads / heads;
    const headOf = (i: number) => Math.floor(i / headDim) * groupSize + (groupSize - 1) / 2;
    return new Float32Array(heads * headDim).map((_, i) => value + headOf(i) / 64);
  }

  #evict({ cache, layers, seen }: Pair, layer: number): void {
    const kept = layers[layer]!;
    if (!this.spec) return;
    if (this.bytes !== null) return void (layers[layer] = this.#free(kept, layer, seen, this.bytes));
    const capacity = Math.ceil(0.6 * MAX_TOKENS);
    const count = Math.max(0, kept.length - capacity);
    const gone = this.spec.policy.draws
      ? kept.filter(({ position }) => cache.expertOf(layer, position) === null)
      : this.#inOrder(kept, layer, seen, capacity).slice(0, count);
    expect(gone).toHaveLength(count);
    layers[layer] = kept.filter((token) => !gone.includes(token));
  }

  #inOrder(kept: Token[], layer: number, seen: number, capacity: number): Token[] {
    const { policy, seed } = this.spec!;
    const rank = rankOf[policy.name];
    if (rank) return byKey(kept, (token) => rank(token, seen, capacity));
    const own = policy.rank({
      layer, tokensSeen: seen, capacity, seed, positions: Int32Array.from(kept, ({ position }) => position), scores: Float32Array.from(kept, ({ score }) => score),
    });
    return byKey(kept, (token) => own[kept.indexOf(token)]!);
  }

  /** One token after the other, the lowest first, until a token at the finest fits and a 64th part is free. */
  #free(kept: Token[], layer: number, seen: number, bytes: number): Token[] {
    const { action } = this.spec!;
    const bytesOf = this.groupSizes.map((size) => this.#bytesOf(size));
    const layerBytes = Math.floor(bytes / this.layout.layers);
    const finest = Math.max(...bytesOf);
    const used = () => kept.reduce((sum, { expert }) => sum + bytesOf[expert]!, 0);
    if (used() + finest <= layerBytes) return kept;
    const goal = layerBytes - finest - Math.floor(layerBytes / 64);
    const next = (arena: number) => (action === 'evict' ? -1 : this.groupSizes.findIndex((size) => size === 2 * this.groupSizes[arena]!));
    const order = this.#inOrder(kept, layer, seen, Math.floor(layerBytes / finest) - 1);
    while (used() > goal && order.some(({ expert }) => next(expert) >= 0)) {
      for (const token of order) if (used() > goal && next(token.expert) >= 0) token.expert = next(token.expert);
    }
    if (action === 'coarsen' || used() + finest <= layerBytes) return kept;
    while (used() > goal && order.length > 0) {
      const gone = order.shift();
      kept = kept.filter((token) => token !== gone);
    }
    return kept;
  }

  async check(): Promise<void> {
    for (const { cache, layers, seen } of this.pairs) {
      expect(cache.tokensSeen).toBe(seen);
      const { groupSizes } = this;
      if (this.bytes !== null) expect(cache.bytes().used).toBeLessThanOrEqual(this.bytes);
      expect(cache.expertCounts()).toEqual(groupSizes.map((_, e) => layers.flat().filter(({ expert }) => expert === e).length));
      for (const [layer, tokens] of layers.entries()) {
        expect(cache.tokensKept(layer)).toBe(tokens.length);
        const experts = new Map(tokens.map(({ position, expert }) => [position, expert]));
        const positions = Array.from({ length: seen }, (_, position) => position);
        expect(positions.map((p) => cache.expertOf(layer, p))).toEqual(positions.map((p) => experts.get(p) ?? null));
      }
      // To look at the rows is to reserve slots: a fork leaves the cache's pages shared as they are.
      const fork = cache.fork();
      for (const [layer, tokens] of layers.entries()) {
        for (const [expert, { store, pages, tokens: count }] of fork.view(layer).segments.entries()) {
          const found: number[] = [];
          for (const [p, page] of pages.entries()) {
            const { k, v } = await store.read(page, Math.max(0, Math.min(32, count - 32 * p)));
            for (let at = 0; at < k.length; at += store.heads * store.headDim) {
              const row = k.subarray(at, at + store.heads * store.headDim);
              const value = valueOf(row[0]!);
              // int8 rounds a scale to 17 bits, each time that heads become coarser.
              const rounding = store.type === 'f32' ? 0 : 2 ** -14;
              const own = this.#rowOf(value, store).every((x, i) => Math.abs(x - row[i]!) <= rounding * x && v[at + i] === -row[i]!);
              found.push(own ? value : NaN);
            }
          }
          const values = tokens.filter((token) => token.expert === expert).map(({ value }) => value);
          if (!this.spec) expect(found).toEqual(values);
          else expect(found.sort((a, b) => a - b)).toEqual(values.sort((a, b) => a - b));
        }
      }
      fork.dispose();
    }
  }

  /** Every page taken is one of a cache, and when the caches are gone none is taken. */
  checkPages(): void {
    const held = new Map(this.runtime.stores.map((store) => [store as object, new Set<number>()]));
    for (const { cache, layers } of this.pairs) {
      layers.forEach((_, layer) => {
        for (const { store, pages } of cache.view(layer).segments) for (const page of pages) held.get(store)!.add(page);
      });
    }
    for (const store of this.runtime.stores) expect(held.get(store)).toEqual(store.taken);
    for (const { cache } of this.pairs) cache.dispose();
    expect(this.runtime.taken).toBe(0);
    expect(this.pool.allocatedBytes).toBe(this.runtime.stores.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0));
    this.pool.dispose();
    expect(this.pool.allocatedBytes).toBe(0);
  }
}

function copyOf({ layers, seen }: Pair): Omit<Pair, 'cache'> {
  return { layers: layers.map((tokens) => tokens.map((token) => ({ ...token }))), seen };
}

/** A token's attention in a step, the same wherever it lies. */
function probability({ value }: Token, seed: number): number {
  return Math.fround((((value * 2654435761) ^ (seed * 40503)) >>> 8) / 2 ** 24);
}

/** The tokens of a segment in slot order, as its keys tell. */
function slotsOf(cache: KvCache, layer: number, expert: number, tokens: Token[]): Token[] {
  const segment = cache.view(layer).segments[expert]!;
  const byValue = new Map(tokens.map((token) => [token.value, token]));
  const store = segment.store as WatchedPages;
  return Array.from({ length: segment.tokens }, (_, slot) => byValue.get(valueOf(store.token('k', slotOf(segment, slot))[0]!))!);
}

/** The token's value from a number of its first head: up to 3.5/64 more, and what int8 rounds. */
function valueOf(number: number): number {
  return Math.floor(number + 0.25);
}

describe('a history of caches', () => {
  const layouts: CacheLayout[] = [
    { layers: 2, formats: groups(4, 2, [1, 2, 4]), fingerprint: 'a' },
    { layers: 3, formats: groups(2, 1, [2]), fingerprint: 'b' },
    { layers: 1, formats: groups(2, 3, [1, 1]), fingerprint: 'c' },
    { layers: 2, formats: groups(4, 3, [1, 2, 4]), type: 'int8', fingerprint: 'e' },
  ];

  // Of the second, tokens are stored in one arena and coarsened to others.
  const budgetLayouts: CacheLayout[] = [layouts[0]!, layouts[3]!, { layers: 2, formats: groups(8, 2, [1]), fingerprint: 'd' }];

  it.each(limits.map((limited) => ({ name: nameOf(limited), limited })))('leaves what a plain model holds, and no page behind: $name', async ({ limited }) => {
    const some = limited?.share === undefined ? layouts : budgetLayouts;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...some), fc.array(command, { maxLength: 14, size: 'max' }), async (layout, commands) => {
        const trace = new Trace(layout, limited);
        for (const each of commands) {
          await trace.run(each);
          await trace.check();
        }
        trace.checkPages();
      }),
      { numRuns: 30, seed: 3 },
    );
  });
});

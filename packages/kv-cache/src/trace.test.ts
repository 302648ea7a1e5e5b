import { BackendError, slotOf, type LayerView, type PageStore, type Slot } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { budgetKinds, CachePool, evictionKinds, type CacheLayout, type CreateOptions, type KvCache } from './index';
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
/** What each policy of the catalogs does, anew: a policy without a line here does not compile. */
const victimsOf: Record<keyof typeof evictionKinds, Pick<Policy, 'eviction' | 'capacity' | 'victims'>> = {
  none: { eviction: 'none', capacity: Infinity, victims: () => [] },
  // The first 4 and the newest.
  window: {
    eviction: 'window:0.5', capacity: 30,
    victims: (tokens, count) => byKey(tokens.filter(({ position }) => position >= 4), (t) => t.position).slice(0, count),
  },
  // The newest half and the best of the others.
  h2o: {
    eviction: 'h2o:0.7', capacity: 42,
    victims: (tokens, count, seen) => byKey(tokens.filter(({ position }) => position < seen - 21), (t) => t.score).slice(0, count),
  },
  // Chance is in it: what is gone is read from the cache.
  nacl: { eviction: 'nacl:0.6:5', capacity: 36, victims: null },
};

/** Of what fits at the finest, the newest half go last. */
function unlessNewest(importance: (token: Token, seen: number) => number): NonNullable<Policy['importance']> {
  return (token, seen, { finest, layerBytes }) => {
    const newer = seen - 1 - token.position;
    return newer < Math.floor(Math.floor(layerBytes / finest) / 2) ? Infinity : importance(token, seen);
  };
}

const importanceOf: Record<keyof typeof budgetKinds, NonNullable<Policy['importance']>> = {
  // A token is seen by its own query and by all later ones.
  'mean-attention': unlessNewest(({ position, score }, seen) => score / (seen - position)),
  attention: unlessNewest(({ score }) => score),
  oldest: ({ position }) => position,
};

const policies: Record<string, Policy> = {
  ...Object.fromEntries(Object.entries(victimsOf).map(([name, policy]) => [`eviction ${name}`, policy])),
  ...Object.fromEntries(Object.entries(importanceOf).flatMap(([name, importance]) => [[name, 0.4], [`${name}:evict`, 0.15]].map(([policy, share]) => (
    [`budget ${policy}`, { budget: { policy: String(policy), share: Number(share) }, capacity: MAX_TOKENS, importance }]
  )))),
};

interface Policy {
  eviction?: string;
  capacity: number;
  victims?: ((tokens: Token[], count: number, seen: number) => Token[]) | null;
  /** A KV budget, as a share of what {@link MAX_TOKENS} need at the finest. */
  budget?: { policy: string; share: number };
  importance?: (token: Token, seen: number, bytes: { finest: number; layerBytes: number }) => number;
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
  readonly options: CreateOptions;
  /** Of the arenas. */
  readonly groupSizes: readonly number[];
  pairs: Pair[] = [];
  #value = 0;

  constructor(
    readonly layout: CacheLayout,
    readonly policy: Policy,
  ) {
    this.pool = new CachePool(this.runtime, layout);
    const { eviction, budget } = policy;
    const bytes = budget && { bytes: layout.layers * Math.ceil(budget.share * MAX_TOKENS * this.#bytesOf(Math.min(...layout.groupSizes))), policy: budget.policy };
    this.options = { maxTokens: MAX_TOKENS, ...(eviction && { eviction }), ...(bytes && { budget: bytes }) };
    const cache = this.create().cache;
    this.groupSizes = cache.groupSizes;
    cache.dispose();
  }

  /** Bytes of a token of a layer, with its entry. */
  #bytesOf(groupSize: number): number {
    const { kvHeads, headDim, type } = this.layout;
    return (2 * kvHeads * (type === 'int8' ? headDim + 4 : 4 * headDim)) / groupSize + 8;
  }

  create(): Pair {
    const cache = this.pool.create(this.options);
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

  /** A budget that does not evict was made for a number of tokens; one less, since the checks view a cache as a step does. */
  #fits({ seen }: Pair, tokens: number): boolean {
    return !this.policy.budget || this.policy.budget.policy.endsWith(':evict') || seen + tokens < MAX_TOKENS;
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
    const expert = (seed * 7 + layer * 3 + (seed >> 3)) % this.layout.groupSizes.length;
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
      for (const { segment, groupSize, firstSlot, rows: numbers } of pair.cache.planRows(layer, Int32Array.from(tokens, (t) => t.expert))) {
        expect(segment.store.heads).toBe(this.layout.kvHeads / groupSize);
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
    const groupSize = this.layout.kvHeads / heads;
    const headOf = (i: number) => Math.floor(i / headDim) * groupSize + (groupSize - 1) / 2;
    return new Float32Array(heads * headDim).map((_, i) => value + headOf(i) / 64);
  }

  #evict({ cache, layers, seen }: Pair, layer: number): void {
    const kept = layers[layer]!;
    if (this.policy.importance) return void (layers[layer] = this.#coarsen(kept, seen, this.policy.importance));
    const count = Math.max(0, kept.length - this.policy.capacity);
    const gone = this.policy.victims
      ? this.policy.victims(kept, count, seen)
      : kept.filter(({ position }) => cache.expertOf(layer, position) === null);
    expect(gone).toHaveLength(count);
    layers[layer] = kept.filter((token) => !gone.includes(token));
  }

  /** One token after the other, the least important first, until a token at the finest fits and a 64th part is free. */
  #coarsen(kept: Token[], seen: number, importance: NonNullable<Policy['importance']>): Token[] {
    const bytesOf = this.groupSizes.map((size) => this.#bytesOf(size));
    const { bytes, policy } = this.options.budget!;
    const layerBytes = Math.floor(bytes / this.layout.layers);
    const finest = Math.max(...bytesOf);
    const used = () => kept.reduce((sum, { expert }) => sum + bytesOf[expert]!, 0);
    if (used() + finest <= layerBytes) return kept;
    const goal = layerBytes - finest - Math.floor(layerBytes / 64);
    const next = (arena: number) => this.groupSizes.findIndex((size) => size === 2 * this.groupSizes[arena]!);
    const order = byKey(kept, (token) => importance(token, seen, { finest, layerBytes }));
    while (used() > goal && order.some(({ expert }) => next(expert) >= 0)) {
      for (const token of order) if (used() > goal && next(token.expert) >= 0) token.expert = next(token.expert);
    }
    if (!String(policy).endsWith(':evict') || used() + finest <= layerBytes) return kept;
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
      if (this.options.budget) expect(cache.bytes().used).toBeLessThanOrEqual(this.options.budget.bytes);
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
          if (this.policy.capacity === Infinity) expect(found).toEqual(values);
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
    { layers: 2, kvHeads: 4, headDim: 2, groupSizes: [1, 2, 4], fingerprint: 'a' },
    { layers: 3, kvHeads: 2, headDim: 1, groupSizes: [2], fingerprint: 'b' },
    { layers: 1, kvHeads: 2, headDim: 3, groupSizes: [1, 1], fingerprint: 'c' },
    { layers: 2, kvHeads: 4, headDim: 3, groupSizes: [1, 2, 4], type: 'int8', fingerprint: 'e' },
  ];

  // Of the second, tokens are stored in one arena and coarsened to others.
  const budgetLayouts: CacheLayout[] = [layouts[0]!, layouts[3]!, { layers: 2, kvHeads: 8, headDim: 2, groupSizes: [1], fingerprint: 'd' }];

  const layoutsOf = (name: string) => (name.startsWith('budget') ? budgetLayouts : layouts);

  it('has every policy of the catalogs', () => {
    expect(Object.keys(victimsOf).sort()).toEqual(Object.keys(evictionKinds).sort());
    expect(Object.keys(importanceOf).sort()).toEqual(Object.keys(budgetKinds).sort());
  });

  it.each(Object.keys(policies))('leaves what a plain model holds, and no page behind: %s', async (name) => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...layoutsOf(name)), fc.array(command, { maxLength: 14, size: 'max' }), async (layout, commands) => {
        const trace = new Trace(layout, policies[name]!);
        for (const each of commands) {
          await trace.run(each);
          await trace.check();
        }
        trace.checkPages();
      }),
      { numRuns: 40, seed: 3 },
    );
  });
});

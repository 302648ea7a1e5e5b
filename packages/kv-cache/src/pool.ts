import { ArgumentError, expectOptions, type InferenceRuntime, type OptionNames, type Pooling } from '@mixsga/backend';
import { budgetOf, type Budget } from './budget/budget';
import type { BudgetOptions } from './budget/policy';
import { KvCache, type CacheOwner, type Eviction, type Limits } from './cache';
import { parseEviction } from './eviction/index';
import type { EvictionFactory, EvictionOptions } from './eviction/policy';
import { Arena } from './layers/arena';
import { EvictingLayer } from './layers/evicting';
import { BudgetedLayer } from './layers/budgeted';
import { KeepAllLayer } from './layers/keep-all';
import type { SlottedLayer } from './layers/slotted';
import { checkLayout, divisibleBy, entryOf, LAYOUT, type CacheLayout, type StoredEntry } from './layout';
import { SerialisedCache, type Header, type Places } from './serialise';
import { SharedPages } from './shared-pages';

export interface CreateOptions extends EvictionOptions {
  /** What `parseEviction` reads, or a factory of your own. Default: keep all. */
  readonly eviction?: string | EvictionFactory;
  /** Bytes that the cache may hold, instead of an eviction policy. Default: no limit. */
  readonly budget?: BudgetOptions;
}

const OPTIONS: OptionNames<CreateOptions> = { eviction: true, budget: { bytes: true, policy: true }, maxTokens: true };

/** The memory of a model's caches: one page store for each count of stored heads, for all layers and sequences. */
export class CachePool {
  readonly #owner: CacheOwner;
  readonly #pooling: Pooling;
  /** By what is stored of a token. */
  readonly #memory = new Map<unknown, SharedPages>();
  readonly #newMemory: (entry: StoredEntry, valueHeads: number) => SharedPages;
  #disposed = false;

  /**
   * @param runtime gives the page stores, which belong to the pool
   * @throws ArgumentError when the layout is not one, or the runtime has no pages of its type
   */
  constructor(runtime: Pick<InferenceRuntime, 'pages'>, layout: CacheLayout) {
    expectOptions('CachePool', layout, LAYOUT);
    checkLayout(layout);
    const { layers, kvHeads, headDim, queryHeads = kvHeads, groupSizes, entries, nested = false, pooling = 'mean', type = 'f32', fingerprint } = layout;
    this.#pooling = pooling;
    this.#newMemory = (entry, valueHeads) => {
      const store = runtime.pages({ ...entry, valueHeads, queryHeads, type });
      if (store.type !== type) throw new ArgumentError(`CachePool: expected a runtime with pages of ${type}, got pages of ${store.type}`);
      if ((store.valueHeads ?? store.heads) !== valueHeads) {
        throw new ArgumentError('CachePool: expected a runtime whose pages can hold keys and values together, got one that groups heads; use pages of the host');
      }
      return new SharedPages(store);
    };
    this.#owner = { layout: { layers, kvHeads, headDim, groupSizes: [...groupSizes], type, fingerprint, ...(entries && { entries, nested }) }, caches: new Set() };
    this.#memoryOf(groupSizes);
  }

  /** Bytes of all page buffers, whether a cache holds their pages or they are free. */
  get allocatedBytes(): number {
    return [...this.#memory.values()].reduce((sum, { store }) => sum + store.allocatedBytes, 0);
  }

  /**
   * An empty cache for one sequence.
   * @throws ArgumentError when there is no such policy, or it would keep less than a token; when the budget is none, is given beside
   *   an eviction policy, or does not hold `maxTokens` tokens at the coarsest and may not evict
   */
  create(options: CreateOptions = {}): KvCache {
    this.#expectLive('create');
    expectOptions('CachePool.create', options, OPTIONS);
    const limits = this.#limitsOf(options);
    return new KvCache(this.#owner, limits, this.#layers(limits));
  }

  /**
   * A cache from what `KvCache.serialise` gave, of any pool of the same layout.
   *
   * @param options default: as the cache was created. `eviction` or `budget` is needed for a policy from outside of the catalog
   *   and has to be the cache's; another `maxTokens` changes the capacity, with effect from the next commit.
   * @throws ArgumentError when the bytes are damaged, or the cache is of another layout, model or policy; before any page
   *   is taken
   * @throws BackendError when there is no memory for it
   */
  async restore(bytes: Uint8Array, options: CreateOptions = {}): Promise<KvCache> {
    expectOptions('CachePool.restore', options, OPTIONS);
    const serialised = await SerialisedCache.open(bytes, this.#owner.layout);
    this.#expectLive('restore');
    const limits = this.#restoredLimits(serialised.header, options);
    const layers = this.#layers(limits, serialised.places);
    try {
      serialised.load(layers.flatMap(({ arenas }) => arenas));
    } catch (error) {
      for (const layer of layers) layer.dispose();
      throw error;
    }
    return new KvCache(this.#owner, limits, layers, serialised.header.tokensSeen);
  }

  /** Disposes the caches, and frees the memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const cache of this.#owner.caches) cache.dispose();
    for (const { store } of this.#memory.values()) store.dispose();
  }

  #layers({ eviction, budget }: Limits, places?: readonly Places[]): (KeepAllLayer | SlottedLayer)[] {
    const { layers, groupSizes } = this.#owner.layout;
    const memory = this.#memoryOf(budget?.groupSizes ?? groupSizes);
    const layout = { groupSizes, experts: groupSizes.length };
    return Array.from({ length: layers }, (_, layer) => {
      const arenas = memory.map((each) => new Arena(each));
      const place = places?.[layer];
      if (budget) return new BudgetedLayer(arenas, budget, groupSizes.length, this.#pooling, layer, place?.entries);
      if (eviction) return new EvictingLayer(arenas, layout, eviction.policy, layer, place?.entries);
      return new KeepAllLayer(arenas, layout, place?.index);
    });
  }

  /** Of each expert by its group size; those that store the same of a token share it. */
  #memoryOf(groupSizes: readonly number[]): SharedPages[] {
    const { layout } = this.#owner;
    return groupSizes.map((size, expert) => {
      const entry = entryOf(layout, size, expert);
      const key = entry.packing ?? `${entry.heads}x${entry.headDim}`;
      const memory = this.#memory.get(key) ?? this.#newMemory(entry, layout.entries ? 0 : entry.heads);
      this.#memory.set(key, memory);
      return memory;
    });
  }

  #limitsOf({ budget, ...options }: CreateOptions, knownSizes?: readonly number[]): Limits {
    const eviction = evictionOf(options);
    if (!budget) return { eviction, budget: null };
    const { entries, nested } = this.#owner.layout;
    if (entries && !(nested && entries.length === 1)) {
      throw new ArgumentError(
        `KV budget: expected experts that group heads, or a single latent, by which tokens are coarsened, got others; use eviction, such as h2o:0.5`,
      );
    }
    if (eviction) {
      throw new ArgumentError(
        `CachePool: expected either a KV budget, which can evict by a policy of its own (such as attention:evict), or eviction, got ` +
          `${budget.bytes} bytes and ${eviction.policy.spec}`,
      );
    }
    return { eviction, budget: this.#budgetOf(budget, options.maxTokens ?? null, knownSizes) };
  }

  #restoredLimits({ eviction: was, budget: had }: Header, { eviction, budget, maxTokens }: CreateOptions): Limits {
    const limits = this.#limitsOf({
      eviction: eviction ?? was?.policy ?? 'none',
      budget: budget ?? (had ? { bytes: had.bytes, policy: had.policy } : undefined),
      maxTokens: maxTokens ?? (was ?? had)?.maxTokens ?? undefined,
    }, had?.groupSizes);
    for (const [name, before, now] of [
      ['eviction', was?.policy, limits.eviction?.policy.spec],
      ['a KV budget by', had?.policy, limits.budget?.policy.spec],
      ['a KV budget of bytes', had?.bytes, limits.budget?.bytes],
      ['a KV budget with group sizes', had?.groupSizes.join(','), limits.budget?.groupSizes.join(',')],
    ] as const) {
      if (before === now) continue;
      throw new ArgumentError(`CachePool.restore: expected ${name} ${before ?? 'none'}, which the cache was made with, got ${now ?? 'none'}`);
    }
    return limits;
  }

  #budgetOf(options: BudgetOptions, maxTokens: number | null, knownSizes?: readonly number[]): Budget {
    const { layout } = this.#owner;
    const tokenBytes = (size: number) => new Arena(this.#memoryOf([size])[0]!).bytesPerToken;
    return budgetOf(options, { ...layout, divisible: divisibleBy(layout), tokenBytes }, maxTokens, knownSizes);
  }

  #expectLive(method: string): void {
    if (this.#disposed) throw new ArgumentError(`CachePool.${method}: this pool is disposed; make another one`);
  }
}

function evictionOf({ eviction = 'none', ...options }: CreateOptions): Eviction | null {
  const policy = (typeof eviction === 'function' ? eviction : parseEviction(eviction))(options);
  if (!policy) return null;
  if (!Number.isInteger(policy.capacity) || policy.capacity < 1) {
    throw new ArgumentError(`eviction ${policy.spec}: expected a capacity of whole tokens from 1, got ${policy.capacity}`);
  }
  return { policy, maxTokens: options.maxTokens ?? null };
}

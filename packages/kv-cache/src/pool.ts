import { ArgumentError, type InferenceRuntime } from '@mixsga/backend';
import { KvCache, type CacheOwner, type Eviction } from './cache';
import { parseEviction } from './eviction/index';
import type { EvictionFactory, EvictionOptions } from './eviction/policy';
import { Arena } from './layers/arena';
import { EvictingLayer } from './layers/evicting';
import { KeepAllLayer } from './layers/keep-all';
import { checkLayout, type CacheLayout } from './layout';
import { SerialisedCache, type Header, type Places } from './serialise';
import { SharedPages } from './shared-pages';

export interface CreateOptions extends EvictionOptions {
  /** What `parseEviction` reads, or a factory of your own. Default: keep all. */
  readonly eviction?: string | EvictionFactory;
}

/** The memory of a model's caches: one page store for each count of stored heads, for all layers and sequences. */
export class CachePool {
  readonly #owner: CacheOwner;
  /** By expert; experts of one group size have the same. */
  readonly #memory: readonly SharedPages[];
  #disposed = false;

  /**
   * @param runtime gives the page stores, which belong to the pool
   * @throws ArgumentError when the layout is not one
   */
  constructor(runtime: Pick<InferenceRuntime, 'pages'>, layout: CacheLayout) {
    checkLayout(layout);
    const { layers, kvHeads, headDim, queryHeads = kvHeads, groupSizes, fingerprint } = layout;
    const byHeads = new Map<number, SharedPages>();
    this.#memory = groupSizes.map((size) => {
      const heads = kvHeads / size;
      const memory = byHeads.get(heads) ?? new SharedPages(runtime.pages({ heads, headDim, queryHeads }));
      byHeads.set(heads, memory);
      return memory;
    });
    this.#owner = { layout: { layers, kvHeads, headDim, groupSizes: [...groupSizes], fingerprint }, caches: new Set() };
  }

  /** Bytes of all page buffers, whether a cache holds their pages or they are free. */
  get allocatedBytes(): number {
    return [...new Set(this.#memory)].reduce((sum, { store }) => sum + store.allocatedBytes, 0);
  }

  /**
   * An empty cache for one sequence.
   * @throws ArgumentError when there is no such policy, or it would keep less than a token
   */
  create(options: CreateOptions = {}): KvCache {
    this.#expectLive('create');
    const eviction = evictionOf(options);
    return new KvCache(this.#owner, eviction, this.#layers(eviction));
  }

  /**
   * A cache from what `KvCache.serialise` gave, of any pool of the same layout.
   *
   * @param options default: as the cache was created. `eviction` is needed for a policy from outside of the catalog and has
   *   to be the cache's; another `maxTokens` changes the capacity, with effect from the next commit.
   * @throws ArgumentError when the bytes are damaged, or the cache is of another layout, model or policy; before any page
   *   is taken
   * @throws BackendError when there is no memory for it
   */
  async restore(bytes: Uint8Array, options: CreateOptions = {}): Promise<KvCache> {
    this.#expectLive('restore');
    const serialised = await SerialisedCache.open(bytes, this.#owner.layout);
    this.#expectLive('restore');
    const eviction = restoredEviction(serialised.header, options);
    const layers = this.#layers(eviction, serialised.places);
    try {
      serialised.load(layers.flatMap(({ arenas }) => arenas));
    } catch (error) {
      for (const layer of layers) layer.dispose();
      throw error;
    }
    return new KvCache(this.#owner, eviction, layers, serialised.header.tokensSeen);
  }

  /** Disposes the caches, and frees the memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const cache of this.#owner.caches) cache.dispose();
    for (const { store } of new Set(this.#memory)) store.dispose();
  }

  #layers(eviction: Eviction | null, places?: readonly Places[]): (KeepAllLayer | EvictingLayer)[] {
    const { layers, groupSizes } = this.#owner.layout;
    return Array.from({ length: layers }, (_, layer) => {
      const arenas = this.#memory.map((memory) => new Arena(memory));
      return eviction
        ? new EvictingLayer(arenas, groupSizes, eviction.policy, layer, places?.[layer]!.entries)
        : new KeepAllLayer(arenas, groupSizes, places?.[layer]!.index);
    });
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

function restoredEviction({ eviction: was }: Header, options: CreateOptions): Eviction | null {
  const eviction = evictionOf({
    eviction: options.eviction ?? was?.policy ?? 'none',
    maxTokens: options.maxTokens ?? was?.maxTokens ?? undefined,
  });
  if (was?.policy !== eviction?.policy.spec) {
    const [expected, got] = [was?.policy ?? 'none', eviction?.policy.spec ?? 'none'];
    throw new ArgumentError(`CachePool.restore: expected eviction ${expected}, which the cache was made with, got ${got}`);
  }
  return eviction;
}

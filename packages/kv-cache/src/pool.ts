import { ArgumentError, type InferenceRuntime } from '@mixsga/backend';
import { KvCache, type CacheOwner } from './cache';
import { parseEviction } from './eviction/index';
import type { EvictionFactory, EvictionOptions, EvictionPolicy } from './eviction/policy';
import { Arena } from './layers/arena';
import { EvictingLayer } from './layers/evicting';
import { KeepAllLayer } from './layers/keep-all';
import type { CacheLayer } from './layers/layer';
import { checkLayout, type CacheLayout } from './layout';
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
    const { layers, kvHeads, headDim, groupSizes, fingerprint } = layout;
    const byHeads = new Map<number, SharedPages>();
    this.#memory = groupSizes.map((size) => {
      const heads = kvHeads / size;
      const memory = byHeads.get(heads) ?? new SharedPages(runtime.pages({ heads, headDim }));
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
    return new KvCache(this.#owner, this.#layers(policyOf(options)));
  }

  /** Disposes the caches, and frees the memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const cache of this.#owner.caches) cache.dispose();
    for (const { store } of new Set(this.#memory)) store.dispose();
  }

  #layers(policy: EvictionPolicy | null): CacheLayer[] {
    const { layers, groupSizes } = this.#owner.layout;
    return Array.from({ length: layers }, (_, layer) => {
      const arenas = this.#memory.map((memory) => new Arena(memory));
      return policy ? new EvictingLayer(arenas, groupSizes, policy, layer) : new KeepAllLayer(arenas, groupSizes);
    });
  }

  #expectLive(method: string): void {
    if (this.#disposed) throw new ArgumentError(`CachePool.${method}: this pool is disposed; make another one`);
  }
}

function policyOf({ eviction = 'none', ...options }: CreateOptions): EvictionPolicy | null {
  const policy = (typeof eviction === 'function' ? eviction : parseEviction(eviction))(options);
  if (policy && (!Number.isInteger(policy.capacity) || policy.capacity < 1)) {
    throw new ArgumentError(`eviction ${policy.spec}: expected a capacity of whole tokens from 1, got ${policy.capacity}`);
  }
  return policy;
}

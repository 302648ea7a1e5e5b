import { ArgumentError, type InferenceRuntime } from '@mixsga/backend';
import { KvCache, type CacheOwner } from './cache';
import { Arena } from './layers/arena';
import { KeepAllLayer } from './layers/keep-all';
import { checkLayout, type CacheLayout } from './layout';
import { SharedPages } from './shared-pages';

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
    const { kvHeads, headDim, groupSizes } = layout;
    const byHeads = new Map<number, SharedPages>();
    this.#memory = groupSizes.map((size) => {
      const heads = kvHeads / size;
      const memory = byHeads.get(heads) ?? new SharedPages(runtime.pages({ heads, headDim }));
      byHeads.set(heads, memory);
      return memory;
    });
    this.#owner = { layout: { ...layout, groupSizes: [...groupSizes] }, caches: new Set() };
  }

  /** Bytes of all page buffers, whether a cache holds their pages or they are free. */
  get allocatedBytes(): number {
    return [...new Set(this.#memory)].reduce((sum, { store }) => sum + store.allocatedBytes, 0);
  }

  /** An empty cache for one sequence. */
  create(): KvCache {
    if (this.#disposed) throw new ArgumentError('CachePool.create: this pool is disposed; make another one');
    const { layers, groupSizes } = this.#owner.layout;
    return new KvCache(
      this.#owner,
      Array.from({ length: layers }, () => new KeepAllLayer(this.#memory.map((memory) => new Arena(memory)), groupSizes)),
    );
  }

  /** Disposes the caches, and frees the memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const cache of this.#owner.caches) cache.dispose();
    for (const { store } of new Set(this.#memory)) store.dispose();
  }
}

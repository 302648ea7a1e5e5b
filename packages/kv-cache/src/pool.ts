import { ArgumentError, expectOptions, type InferenceRuntime, type OptionNames, type StoredFormat } from '@mixsga/backend';
import { KvCache, type CacheOwner } from './cache';
import { Arena } from './layers/arena';
import { KeepAllLayer } from './layers/keep-all';
import { LimitedLayer } from './layers/limited';
import { checkLayout, formatsInLayer, LAYOUT, pageFormatOf, type CacheLayout } from './layout';
import { CACHE_SPEC, resolveCacheSpec, type CacheSpec, type ResolvedSpec } from './policies/cache-spec';
import { limitOf, type Limit } from './policies/limit';
import { headerOf, SerialisedCache, specOfHeader, type Header, type Places } from './serialise';
import { SharedPages } from './shared-pages';

export interface CreateOptions {
  /** What keeps the cache small, or its text. Default: no limit. */
  readonly cache?: string | CacheSpec;
  /** The length that the sequence can reach: what shares are of, and what has to fit where nothing is evicted. */
  readonly maxTokens?: number;
}

const OPTIONS: OptionNames<CreateOptions> = { cache: CACHE_SPEC, maxTokens: true };

/** The memory of a model's caches: one page store for each shape of stored tokens, for all layers and sequences. */
export class CachePool {
  readonly #owner: CacheOwner;
  /** By what is stored of a token. */
  readonly #memory = new Map<string, SharedPages>();
  readonly #runtime: Pick<InferenceRuntime, 'pages'>;
  #disposed = false;

  /**
   * @param runtime gives the page stores, which belong to the pool
   * @throws ArgumentError when the layout is not one, or the runtime has no pages of its type
   */
  constructor(runtime: Pick<InferenceRuntime, 'pages'>, layout: CacheLayout) {
    expectOptions('CachePool', layout, LAYOUT);
    checkLayout('CachePool', layout);
    const { formats, type = 'f32' } = layout;
    this.#runtime = runtime;
    this.#owner = { layout: { ...layout, formats: [...formats], type }, caches: new Set() };
    for (const format of formatsInLayer(formats, 0, layout)) this.#memoryOf(format, 0);
  }

  /** Bytes of all page buffers, whether a cache holds their pages or they are free. */
  get allocatedBytes(): number {
    return [...this.#memory.values()].reduce((sum, { store }) => sum + store.allocatedBytes, 0);
  }

  /**
   * An empty cache for one sequence.
   * @throws ArgumentError when there is no such policy, `maxTokens` is missing, or the bytes are too few: for `maxTokens` tokens at the
   *   coarsest, or where it evicts for two
   */
  create(options: CreateOptions = {}): KvCache {
    this.#expectLive('create');
    expectOptions('CachePool.create', options, OPTIONS);
    const limit = this.#limitOf(resolveCacheSpec(options.cache), options.maxTokens);
    return new KvCache(this.#owner, limit, this.#layers(limit));
  }

  /**
   * A cache from what `KvCache.serialise` gave, of any pool of the same layout.
   *
   * @param options default: as the cache was created. `cache` is needed for a policy that is not registered, and has to be the cache's;
   *   another `maxTokens` changes the capacity, with effect from the next commit.
   * @throws ArgumentError when the bytes are damaged, or the cache is of another layout, model or policy; before any page
   *   is taken
   * @throws BackendError when there is no memory for it
   */
  async restore(bytes: Uint8Array, options: CreateOptions = {}): Promise<KvCache> {
    expectOptions('CachePool.restore', options, OPTIONS);
    const serialised = await SerialisedCache.open(bytes, this.#owner.layout);
    this.#expectLive('restore');
    const limit = this.#restoredLimit(serialised.header, options);
    const layers = this.#layers(limit, serialised.places);
    try {
      serialised.load(layers.flatMap(({ arenas }) => arenas));
    } catch (error) {
      for (const layer of layers) layer.dispose();
      throw error;
    }
    return new KvCache(this.#owner, limit, layers, serialised.header.tokensSeen);
  }

  /** Disposes the caches, and frees the memory. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const cache of this.#owner.caches) cache.dispose();
    for (const { store } of this.#memory.values()) store.dispose();
  }

  #layers(limit: Limit | null, places?: readonly Places[]): (KeepAllLayer | LimitedLayer)[] {
    const { layers, formats } = this.#owner.layout;
    return Array.from({ length: layers }, (_, layer) => {
      const own = formatsInLayer(limit?.formats ?? formats, layer, this.#owner.layout);
      const arenas = own.map((format) => new Arena(this.#memoryOf(format, layer), format));
      const place = places?.[layer];
      return limit ? new LimitedLayer(arenas, formats.length, limit, layer, place?.entries) : new KeepAllLayer(arenas, place?.index);
    });
  }

  /** Formats that store the same of a token share it; layers too, unless each packs by constants of its own. */
  #memoryOf(format: StoredFormat, layer: number): SharedPages {
    const { name, stored } = format;
    const packed = this.#owner.layout.formatsOf ? `${layer} ${name}` : name;
    const key = stored.packing ? packed : `${stored.heads}x${stored.headDim}`;
    const memory = this.#memory.get(key) ?? this.#newMemory(format);
    this.#memory.set(key, memory);
    return memory;
  }

  #newMemory(format: StoredFormat): SharedPages {
    const { type, joint = false, ...pages } = pageFormatOf(format, this.#owner.layout);
    const store = this.#runtime.pages({ ...pages, type: type!, joint });
    if (store.type !== type) throw new ArgumentError(`CachePool: expected a runtime with pages of ${type}, got pages of ${store.type}`);
    if ((store.joint ?? false) !== joint) {
      throw new ArgumentError('CachePool: expected a runtime whose pages can hold keys and values together, got one that groups heads; use pages of the host');
    }
    return new SharedPages(store);
  }

  #limitOf(spec: ResolvedSpec | null, maxTokens: number | undefined, known?: readonly StoredFormat[]): Limit | null {
    return spec && limitOf(spec, this.#owner.layout, maxTokens ?? null, known);
  }

  #restoredLimit(header: Header, { cache, maxTokens }: CreateOptions): Limit | null {
    const spec = cache === undefined ? specOfHeader(header) : resolveCacheSpec(cache);
    const { eviction: was = null, budget: had = null } = header;
    const limit = this.#limitOf(spec, maxTokens ?? (was ?? had)?.maxTokens ?? undefined, had ? header.arenas : undefined);
    const { eviction, budget } = headerOf(limit, this.#owner.layout);
    for (const [name, before, now] of [
      ['eviction', was?.policy, eviction?.policy],
      ['a KV budget by', had?.policy, budget?.policy],
      ['a KV budget of bytes', had?.bytes, budget?.bytes],
      ['a KV budget with', had ? header.arenas.map(({ name }) => name).join(', ') : undefined, budget ? limit!.formats.map(({ name }) => name).join(', ') : undefined],
    ] as const) {
      if (before === now) continue;
      throw new ArgumentError(`CachePool.restore: expected ${name} ${before ?? 'none'}, which the cache was made with, got ${now ?? 'none'}`);
    }
    return limit;
  }

  #expectLive(method: string): void {
    if (this.#disposed) throw new ArgumentError(`CachePool.${method}: this pool is disposed; make another one`);
  }
}

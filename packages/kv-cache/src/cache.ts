import { ArgumentError, type LayerView, type StoredFormat, type StorePlan } from '@mixsga/backend';
import type { LimitedLayer } from './layers/limited';
import type { KeepAllLayer } from './layers/keep-all';
import type { CacheLayout, StoredToken } from './layout';
import type { Limit } from './policies/limit';
import { serialise } from './serialise';

type CacheLayer = KeepAllLayer | LimitedLayer;

/** What a pool knows of its caches. */
export interface CacheOwner {
  readonly layout: CacheLayout;
  readonly caches: Set<KvCache>;
}

/** The keys and values of one sequence. A {@link CachePool} makes it; layers are those that store keys and values of their own. */
export class KvCache {
  readonly #owner: CacheOwner;
  readonly #limit: Limit | null;
  readonly #layers: readonly CacheLayer[];
  #tokensSeen: number;

  /** Called by the pool. */
  constructor(owner: CacheOwner, limit: Limit | null, layers: readonly CacheLayer[], tokensSeen = 0) {
    this.#owner = owner;
    this.#limit = limit;
    this.#layers = layers;
    this.#tokensSeen = tokensSeen;
    owner.caches.add(this);
  }

  /** Whether it has not been disposed. */
  get live(): boolean {
    return this.#owner.caches.has(this);
  }

  /** Tokens committed, whether kept or evicted since. */
  get tokensSeen(): number {
    return this.#tokensSeen;
  }

  /** Whether the policy wants attention probabilities. */
  get observes(): boolean {
    return this.#layers[0]!.observes;
  }

  /** Bytes that {@link bytes} never finds used beyond; null without a limit in bytes. */
  get budget(): number | null {
    return this.#limit?.bytes?.total ?? null;
  }

  /** Whether a commit moves tokens, which may take memory. */
  get moves(): boolean {
    return this.#limit !== null;
  }

  /** The format of each expert, and then those that tokens are only coarsened to. */
  get formats(): readonly StoredFormat[] {
    return this.#limit?.formats ?? this.#owner.layout.formats;
  }

  /** What is stored of a token in a layer, keys and values together: for each of {@link formats}. */
  get stored(): readonly StoredToken[] {
    return this.#layers[0]!.arenas.map(({ format: { stored: { heads, headDim } }, bytesPerToken }) => ({ heads, headDim, bytes: bytesPerToken }));
  }

  /** Tokens that a layer has. */
  tokensKept(layer: number): number {
    return this.#layer('tokensKept', layer).tokens;
  }

  /**
   * Reserves a slot for one token more in each expert of a layer, and gives what attention needs. Nothing counts before
   * {@link commit}, so that it can be called again. The arrays of page numbers are never changed in place.
   *
   * @param window tokens that the new one sees at most, itself included: a sliding window. Default: all that are kept
   * @throws BackendError when there is no memory for a page; the cache is as before
   * @throws ArgumentError with a policy, whose tokens are in no order, when a token that was kept is before the window; with a KV
   *   budget that does not evict, when `maxTokens` are there
   */
  view(layer: number, { window = null }: { window?: number | null } = {}): LayerView {
    return this.#layer('view', layer).view(this.#tokensSeen, window === null ? 0 : Math.max(0, this.#tokensSeen + 1 - window));
  }

  /**
   * Takes the attention probabilities of the step's token to a segment of a layer, as the runtime's `attend` gives them.
   * Where several layers of the model read one layer of the cache, they add up. They count with {@link commit}; before it
   * `truncate(tokensSeen)` forgets them, as a step that failed should.
   *
   * @throws ArgumentError when they are not one for each token of the segment, or one more
   */
  observe(layer: number, segment: number, probabilities: Float32Array): void {
    const observing = this.#layer('observe', layer);
    this.#expectExpert('observe', segment, this.formats.length);
    observing.observe(segment, probabilities);
  }

  /**
   * The token of the step becomes part of the cache: every layer was viewed and the token's keys and values written to
   * its expert's slot. Then the policy evicts. This needs no memory: in a fork, where to evict can mean to copy a shared
   * page, a token for which there is none goes with a later commit. With a limit in bytes tokens are coarsened until the next one has
   * room; where there is no memory for that, the next {@link view} does it or throws.
   *
   * @param experts its expert in each layer
   * @throws ArgumentError when they are not one for each layer, or a layer was not viewed since the cache last changed
   */
  commit(experts: ArrayLike<number>): void {
    this.#expectLive('commit');
    if (experts.length !== this.#layers.length) {
      throw new ArgumentError(`KvCache.commit: expected an expert for each of ${this.#layers.length} layers, got ${experts.length}`);
    }
    this.#layers.forEach(({ viewed }, l) => {
      this.#expectExpert('commit', experts[l]!);
      if (!viewed) throw new ArgumentError(`KvCache.commit: layer ${l} has no slot for the token; call view(${l}) first`);
    });
    const position = this.#tokensSeen++;
    this.#layers.forEach((layer, l) => layer.commit(experts[l]!, position));
  }

  /**
   * Where the rows of a prompt go, by experts that have any: bulk append. Nothing counts before {@link commitRows}; another
   * plan for the layer takes the place of this one.
   *
   * @param experts the expert of each row
   * @throws ArgumentError when there is no such expert
   * @throws BackendError when there is no memory for the pages; the cache is as before, without any plan
   */
  planRows(layer: number, experts: Int32Array): StorePlan[] {
    const planned = this.#layer('planRows', layer);
    for (const expert of experts) this.#expectExpert('planRows', expert);
    try {
      return planned.plan(experts);
    } catch (error) {
      for (const each of this.#layers) each.settle();
      throw error;
    }
  }

  /**
   * Takes the attention probability that each planned row got from all of them, summed over query heads: float32 [rows].
   * Counts with {@link commitRows}; adds up like {@link observe}.
   *
   * @throws ArgumentError when the layer has no plan of as many rows
   */
  observeRows(layer: number, probabilities: Float32Array): void {
    const { planned, observes } = this.#layer('observeRows', layer);
    if (planned?.experts.length !== probabilities.length) {
      const rows = planned ? `${planned.experts.length} planned rows` : 'a plan';
      throw new ArgumentError(`KvCache.observeRows: expected ${rows}, got ${probabilities.length} probabilities`);
    }
    if (!observes) return;
    const before = planned.probabilities;
    planned.probabilities = before ? probabilities.map((p, row) => p + before[row]!) : probabilities.slice();
  }

  /**
   * The planned rows become part of the cache. Then the policy evicts, down to its capacity at once, or tokens are coarsened until the
   * limit in bytes holds.
   *
   * @throws ArgumentError when the layers were not all given a plan of as many rows
   * @throws BackendError with a KV budget, when there is no memory for the pages that tokens move to; the rows are dropped then
   */
  commitRows(): void {
    this.#expectLive('commitRows');
    const plans = this.#layers.map(({ planned }, l) => {
      if (planned) return planned;
      throw new ArgumentError(`KvCache.commitRows: layer ${l} has no plan; call planRows(${l}, experts) first`);
    });
    const rows = plans.map(({ experts }) => experts.length);
    if (rows.some((count) => count !== rows[0])) {
      throw new ArgumentError(`KvCache.commitRows: expected plans of as many rows, got ${rows.join(', ')}`);
    }
    const position = this.#tokensSeen;
    this.#tokensSeen += rows[0]!;
    try {
      this.#layers.forEach((layer, l) => layer.commitRows(plans[l]!, position));
    } catch (error) {
      this.truncate(position);
      throw error;
    }
  }

  /**
   * The expert that stores a token of a layer; null when the token was evicted.
   * @throws ArgumentError when no such token was seen
   */
  expertOf(layer: number, token: number): number | null {
    const found = this.#layer('expertOf', layer);
    if (!Number.isInteger(token) || token < 0 || token >= this.#tokensSeen) {
      throw new ArgumentError(`KvCache.expertOf: expected a token below ${this.#tokensSeen}, got ${token}`);
    }
    return found.expertOf(token);
  }

  /** Kept tokens by expert, summed over the layers: as many as {@link formats}. */
  expertCounts(): number[] {
    this.#expectLive('expertCounts');
    return this.formats.map((_, expert) =>
      this.#layers.reduce((sum, { arenas }) => sum + arenas[expert]!.tokens, 0),
    );
  }

  /**
   * `used`: what is stored of the tokens kept, and for each layer what tells the place of each token: the bits of the expert index, or with
   * a limit its position and score (4 + 4 bytes). `allocated`: the buffers that hold these, as they are, with reserved slots; a page that n forks share counts as its
   * nth part in each, so that the sum over caches is what they hold together. The free pages of the pool are in
   * {@link CachePool.allocatedBytes} alone.
   */
  bytes(): { used: number; allocated: number } {
    this.#expectLive('bytes');
    let used = 0;
    let allocated = 0;
    for (const { arenas, placeBytes } of this.#layers) {
      for (const arena of arenas) {
        used += arena.tokens * arena.bytesPerToken;
        allocated += arena.allocatedBytes;
      }
      used += placeBytes.used;
      allocated += placeBytes.allocated;
    }
    return { used, allocated: Math.ceil(allocated) };
  }

  /**
   * Drops the tokens at positions from `tokens` on, in all layers, and what was given out or observed since the last
   * commit. What was evicted does not come back, and scores keep what the dropped tokens' attention added to them.
   *
   * @throws ArgumentError when more than were seen are to stay
   * @throws BackendError with a policy, in a fork, when there is no memory to copy a shared page; the cache is as before
   */
  truncate(tokens: number): void {
    this.#expectLive('truncate');
    if (!Number.isInteger(tokens) || tokens < 0 || tokens > this.#tokensSeen) {
      throw new ArgumentError(`KvCache.truncate: expected 0 to ${this.#tokensSeen} tokens, got ${tokens}`);
    }
    for (const layer of this.#layers) layer.prepareTruncate(tokens);
    for (const layer of this.#layers) {
      layer.truncate(tokens);
      layer.settle();
    }
    this.#tokensSeen = tokens;
  }

  /**
   * Another sequence with the same tokens so far. Pages are shared until one of the two writes to them. A step of this one
   * that is under way is not disturbed.
   */
  fork(): KvCache {
    this.#expectLive('fork');
    const layers = this.#layers.map((layer) => layer.fork());
    return new KvCache(this.#owner, this.#limit, layers, this.#tokensSeen);
  }

  /**
   * The cache as bytes, for {@link CachePool.restore}: what is committed when it is called, with the policy's scores.
   * @throws BackendError when there is no memory for them
   */
  async serialise(): Promise<Uint8Array> {
    // Nobody writes to the pages of a fork.
    const fork = this.fork();
    try {
      return await serialise({ layout: this.#owner.layout, limit: this.#limit, tokensSeen: fork.tokensSeen }, fork.#layers);
    } finally {
      fork.dispose();
    }
  }

  /** Drops all tokens. */
  reset(): void {
    this.truncate(0);
  }

  /** Gives the pages back to the pool. The cache can't be used after. */
  dispose(): void {
    if (!this.#owner.caches.delete(this)) return;
    for (const layer of this.#layers) layer.dispose();
  }

  #layer(method: string, layer: number): CacheLayer {
    this.#expectLive(method);
    const found = this.#layers[layer];
    if (!found) throw new ArgumentError(`KvCache.${method}: expected a layer below ${this.#layers.length}, got ${layer}`);
    return found;
  }

  #expectLive(method: string): void {
    if (!this.#owner.caches.has(this)) throw new ArgumentError(`KvCache.${method}: this cache is disposed; create another one`);
  }

  #expectExpert(method: string, expert: number, experts = this.#owner.layout.formats.length): void {
    if (!Number.isInteger(expert) || expert < 0 || expert >= experts) {
      throw new ArgumentError(`KvCache.${method}: expected an expert below ${experts}, got ${expert}`);
    }
  }
}

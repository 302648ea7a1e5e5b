import { ArgumentError, BackendError, type StorePlan, type TokenMove } from '@mixsga/backend';
import type { RankedTokens } from '../policies/policy';
import { ENTRY_BYTES } from './slot-entries';
import { SlottedLayer } from './slotted';

/** Share of a layer's bytes that is made free at a time, so that to choose tokens is rare: the 64th part. */
const FREED_AT_ONCE = 1 / 64;

/** Where the tokens of the arenas go. */
interface Plan {
  /** Slots by arena they leave and arena they go to, ascending. */
  readonly moves: readonly (readonly number[][])[];
  /** Slots of evicted tokens by arena, ascending. */
  readonly evicted: readonly number[][];
}

/**
 * A layer with a limit. When it is full, the tokens that its policy ranks lowest are evicted, or coarsened: they move to the arena of the next
 * coarser form. With a limit in bytes there is room after each commit for a token as the finest expert stores it, so that a step's token finds it.
 */
export class LimitedLayer extends SlottedLayer {
  fork(): LimitedLayer {
    const { limit, experts, layer } = this;
    return new LimitedLayer(this.arenas.map((arena) => arena.fork()), experts, limit, layer, this.entries.map((entries) => entries.copy()));
  }

  override plan(experts: Int32Array): StorePlan[] {
    this.#expectRoom('planRows', experts.length);
    return super.plan(experts);
  }

  protected override prepareStep(tokensSeen: number): void {
    this.#expectRoom('view', 1);
    if (this.limit.bytes) this.#makeRoom(tokensSeen);
  }

  /** Where there is no memory to move tokens in, or to copy a page that a fork has too, they go with a later commit or step. */
  protected afterCommit(tokensSeen: number): void {
    try {
      this.#makeRoom(tokensSeen);
    } catch (error) {
      if (!BackendError.isInstance(error)) throw error;
    }
  }

  protected override afterRows(tokensSeen: number): void {
    if (this.limit.bytes) this.#makeRoom(tokensSeen);
    else this.afterCommit(tokensSeen);
  }

  #expectRoom(method: string, tokens: number): void {
    const { spec, name, maxTokens, bytes } = this.limit;
    if (spec.action !== 'coarsen' || this.tokens + tokens <= maxTokens!) return;
    throw new ArgumentError(
      `KvCache.${method}: expected at most the ${maxTokens} tokens that ${name} was checked for with its ${bytes!.total} bytes, got ` +
        `${this.tokens + tokens}; make the cache with more maxTokens, or a policy that evicts`,
    );
  }

  /**
   * Brings the layer back within its limit.
   * @throws BackendError when there is no memory for a page; what is cached is as before
   */
  #makeRoom(tokensSeen: number): void {
    const { capacity, bytes } = this.limit;
    if (!bytes) {
      const count = this.tokens - capacity;
      if (count > 0) this.#apply(this.#evicting(count, tokensSeen));
      return;
    }
    const used = this.arenas.reduce((sum, { tokens }, arena) => sum + tokens * this.#bytesIn(arena), 0);
    const missing = used + bytes.finest - bytes.layer;
    if (missing > 0) this.#apply(this.#freeing(missing, missing + Math.floor(bytes.layer * FREED_AT_ONCE), tokensSeen));
  }

  #bytesIn(arena: number): number {
    return this.arenas[arena]!.bytesPerToken + ENTRY_BYTES;
  }

  /** Evicts some tokens. */
  #evicting(count: number, tokensSeen: number): Plan {
    const { tokens, starts, rank } = this.#ranked(tokensSeen);
    const evicted = this.arenas.map((): number[] => []);
    for (const i of lowest(tokens, rank, count).sort((a, b) => a - b)) {
      const arena = starts.findLastIndex((start) => start <= i);
      evicted[arena]!.push(i - starts[arena]!);
    }
    return { moves: this.arenas.map(() => this.arenas.map(() => [])), evicted };
  }

  /** Frees bytes: first by coarsening, then, where that is not enough, by eviction, as far as the action allows. */
  #freeing(needed: number, wanted: number, tokensSeen: number): Plan {
    const { tokens: { positions }, starts, rank } = this.#ranked(tokensSeen);
    const place = new Int16Array(positions.length);
    starts.forEach((start, arena) => place.fill(arena, start));
    const goal = place.slice();
    const inOrder = (some: Uint32Array) => some.sort((a, b) => rank[a]! - rank[b]! || positions[a]! - positions[b]!);
    let freed = 0;
    const all = Uint32Array.from(positions, (_, i) => i);
    let finer = inOrder(all.filter((i) => this.limit.coarser[place[i]!] !== null));
    while (freed < wanted && finer.length > 0) {
      for (const i of finer) {
        const next = this.limit.coarser[goal[i]!]!;
        freed += this.#bytesIn(goal[i]!) - this.#bytesIn(next);
        goal[i] = next;
        if (freed >= wanted) break;
      }
      finer = finer.filter((i) => this.limit.coarser[goal[i]!] !== null);
    }
    if (freed < needed && this.limit.spec.action !== 'coarsen') {
      for (const i of inOrder(all)) {
        freed += this.#bytesIn(goal[i]!);
        goal[i] = -1;
        if (freed >= wanted) break;
      }
    }
    const moves = this.arenas.map(() => this.arenas.map((): number[] => []));
    const evicted = this.arenas.map((): number[] => []);
    goal.forEach((to, i) => {
      const from = place[i]!;
      if (to !== from) (to < 0 ? evicted : moves[from]!)[to < 0 ? from : to]!.push(i - starts[from]!);
    });
    return { moves, evicted };
  }

  /** All tokens, one arena after the other, with where each arena begins and how the policy ranks them. */
  #ranked(tokensSeen: number): { tokens: RankedTokens; starts: readonly number[]; rank: ArrayLike<number> } {
    const { name, spec: { policy, seed }, capacity } = this.limit;
    const { kept, starts } = this.gather(tokensSeen);
    const tokens = { ...kept, capacity, seed };
    const rank = policy.rank(tokens);
    if (rank.length !== this.tokens) throw new ArgumentError(`${name}: expected a rank for each of ${this.tokens} tokens, got ${rank.length}`);
    for (let i = 0; i < rank.length; i++) {
      if (typeof rank[i] !== 'number' || Number.isNaN(rank[i])) throw new ArgumentError(`${name}: expected ranks that are numbers, got ${String(rank[i])}`);
    }
    return { tokens, starts, rank };
  }

  #apply({ moves, evicted }: Plan): void {
    const { arenas, entries } = this;
    const incoming = arenas.map((_, to) => moves.reduce((sum, byTarget) => sum + byTarget[to]!.length, 0));
    const leaving = moves.map((byTarget, from) => [...byTarget.flat(), ...evicted[from]!].sort((a, b) => a - b));
    try {
      arenas.forEach((arena, i) => {
        if (incoming[i]! > 0) arena.reserve(incoming[i]!);
        this.prepareRemove(i, leaving[i]!, incoming[i]!);
      });
    } catch (error) {
      for (const arena of arenas) arena.truncate(arena.tokens);
      throw error;
    }
    moves.forEach((byTarget, from) => byTarget.forEach((slots, to) => {
      if (slots.length === 0) return;
      const [source, target] = [arenas[from]!, arenas[to]!];
      const first = target.tokens;
      const tokens = slots.map((slot, n): TokenMove => ({ from: source.slot(slot), to: target.slot(first + n) }));
      source.store.coarsen(tokens, target.store, source.format.coarser!.to(target.format)!);
      target.tokens += slots.length;
      entries[to]!.resize(target.tokens);
      slots.forEach((slot, n) => entries[to]!.put(first + n, entries[from]!, slot));
    }));
    leaving.forEach((slots, i) => {
      if (slots.length > 0) this.remove(i, slots);
    });
  }
}

/** The `count` tokens of the lowest rank, of equal ones the older. */
function lowest({ positions }: RankedTokens, rank: ArrayLike<number>, count: number): number[] {
  const order = (a: number, b: number) => rank[a]! - rank[b]! || positions[a]! - positions[b]!;
  if (count > 1) return [...positions.keys()].sort(order).slice(0, count);
  // As in every step of decoding.
  let best = 0;
  for (let i = 1; i < positions.length; i++) if (rank[i]! <= rank[best]! && order(i, best) < 0) best = i;
  return [best];
}

import { ArgumentError, BackendError, type Pooling, type StorePlan, type TokenMove } from '@mixsga/backend';
import type { Budget } from '../budget/budget';
import { coarserOf } from '../budget/ladder';
import type { Arena } from './arena';
import { ENTRY_BYTES, type SlotEntries } from './slot-entries';
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
 * A layer whose bytes have a limit: when they are full its least important tokens lose heads, to the arena of the next group size.
 * After each commit there is room for a token as the finest expert stores it, so that a step's token finds it when it is written.
 */
export class BudgetedLayer extends SlottedLayer {
  /** Of each arena, the one of the next group size; null at the coarsest. */
  readonly #coarser: readonly (number | null)[];

  constructor(
    arenas: readonly Arena[],
    readonly budget: Budget,
    experts: number,
    private readonly pooling: Pooling,
    layer: number,
    entries?: readonly SlotEntries[],
  ) {
    const { groupSizes, policy } = budget;
    super(arenas, { groupSizes, experts }, { name: `KV budget ${policy.spec}`, policy }, layer, entries);
    this.#coarser = groupSizes.map((_, arena) => coarserOf(groupSizes, arena));
  }

  fork(): BudgetedLayer {
    const { budget, layout, pooling, layer } = this;
    return new BudgetedLayer(
      this.arenas.map((arena) => arena.fork()), budget, layout.experts, pooling, layer, this.entries.map((entries) => entries.copy()),
    );
  }

  override plan(experts: Int32Array): StorePlan[] {
    this.#expectRoom('planRows', experts.length);
    return super.plan(experts);
  }

  protected override prepareStep(tokensSeen: number): void {
    this.#expectRoom('view', 1);
    this.#makeRoom(tokensSeen);
  }

  /** Where there is no memory to move tokens in, they go with the next step, or it fails. */
  protected afterCommit(tokensSeen: number): void {
    try {
      this.#makeRoom(tokensSeen);
    } catch (error) {
      if (!BackendError.isInstance(error)) throw error;
    }
  }

  protected override afterRows(tokensSeen: number): void {
    this.#makeRoom(tokensSeen);
  }

  #expectRoom(method: string, tokens: number): void {
    const { policy, maxTokens, bytes } = this.budget;
    if (policy.evicts || this.tokens + tokens <= maxTokens!) return;
    throw new ArgumentError(
      `KvCache.${method}: expected at most the ${maxTokens} tokens that this KV budget of ${bytes} bytes was checked for, got ` +
        `${this.tokens + tokens}; make the cache with more maxTokens, or a policy that evicts`,
    );
  }

  /**
   * Where a token of the finest expert would not fit any more, tokens lose heads.
   * @throws BackendError when there is no memory for a page; what is cached is as before
   */
  #makeRoom(tokensSeen: number): void {
    const { layerBytes, finestBytes } = this.budget;
    const used = this.arenas.reduce((sum, { tokens }, arena) => sum + tokens * this.#bytesIn(arena), 0);
    const missing = used + finestBytes - layerBytes;
    if (missing > 0) this.#apply(this.#plan(missing, missing + Math.floor(layerBytes * FREED_AT_ONCE), tokensSeen));
  }

  #bytesIn(arena: number): number {
    return this.arenas[arena]!.bytesPerToken + ENTRY_BYTES;
  }

  /** Which tokens lose heads, the least important one first, and go where the policy says so and heads are not enough. */
  #plan(needed: number, wanted: number, tokensSeen: number): Plan {
    const { policy, layerBytes, finestBytes } = this.budget;
    const { kept, starts } = this.gather(tokensSeen);
    const { positions } = kept;
    const importance = policy.importance({ ...kept, capacity: Math.floor(layerBytes / finestBytes) });
    const place = new Int16Array(positions.length);
    starts.forEach((start, arena) => place.fill(arena, start));
    const goal = place.slice();
    const inOrder = (some: Uint32Array) => some.sort((a, b) => importance[a]! - importance[b]! || positions[a]! - positions[b]!);
    let freed = 0;
    const all = Uint32Array.from(positions, (_, i) => i);
    let finer = inOrder(all.filter((i) => this.#coarser[place[i]!] !== null));
    while (freed < wanted && finer.length > 0) {
      for (const i of finer) {
        const next = this.#coarser[goal[i]!]!;
        freed += this.#bytesIn(goal[i]!) - this.#bytesIn(next);
        goal[i] = next;
        if (freed >= wanted) break;
      }
      finer = finer.filter((i) => this.#coarser[goal[i]!] !== null);
    }
    if (freed < needed && policy.evicts) {
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
      source.store.coarsen(tokens, target.store, this.pooling);
      target.tokens += slots.length;
      entries[to]!.resize(target.tokens);
      slots.forEach((slot, n) => entries[to]!.put(first + n, entries[from]!, slot));
    }));
    leaving.forEach((slots, i) => this.remove(i, slots));
  }
}

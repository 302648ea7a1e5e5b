import { ArgumentError } from '@mixsga/backend';
import type { Limit } from '../policies/limit';
import type { RankedTokens } from '../policies/policy';
import type { Arena } from './arena';
import { CacheLayer, type Planned } from './layer';
import { ENTRY_BYTES, SlotEntries } from './slot-entries';

/**
 * A layer whose tokens are evicted, or move to another arena. The slot that a token leaves is taken by the last one of its arena,
 * so that slots are in no order: each has its token's position and score.
 */
export abstract class SlottedLayer extends CacheLayer {
  constructor(
    arenas: readonly Arena[],
    experts: number,
    protected readonly limit: Limit,
    /** Its number, for the policy. */
    protected readonly layer: number,
    readonly entries: readonly SlotEntries[] = arenas.map(() => new SlotEntries()),
  ) {
    super(arenas, experts);
  }

  override get observes(): boolean {
    return this.limit.spec.policy.accumulate !== undefined;
  }

  get placeBytes() {
    const allocated = this.entries.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
    return { used: ENTRY_BYTES * this.tokens, allocated };
  }

  /** Their slots are in no order, so that none may be there. */
  protected countBefore(position: number): readonly number[] {
    return this.arenas.map(({ tokens }, expert) => {
      const early = this.entries[expert]!.positions.subarray(0, tokens).find((kept) => kept < position);
      if (early === undefined) return 0;
      throw new ArgumentError(
        `KvCache.view: expected a window that has every token kept by ${this.limit.name}, got one from token ${position} ` +
          `on, and token ${early} is kept; keep all tokens, or fewer than the window has`,
      );
    });
  }

  override observe(segment: number, probabilities: Float32Array): void {
    if (!this.observes) return;
    const { tokens } = this.arenas[segment]!;
    if (probabilities.length !== tokens && probabilities.length !== tokens + 1) {
      throw new ArgumentError(
        `KvCache.observe: expected a probability for each of ${tokens} tokens, and the new one, got ${probabilities.length}`,
      );
    }
    const entries = this.entries[segment]!;
    entries.resize(tokens + 1);
    if (entries.observed.length === 0) entries.observed = new Float32Array(entries.positions.length);
    if (entries.observedTokens === 0) entries.observed.fill(0);
    for (let slot = 0; slot < probabilities.length; slot++) entries.observed[slot]! += probabilities[slot]!;
    entries.observedTokens = Math.max(entries.observedTokens, probabilities.length);
  }

  commit(expert: number, position: number): void {
    this.#append(expert, position, 0);
    const { spec: { policy }, capacity } = this.limit;
    if (policy.accumulate) {
      for (const { scores, observed, observedTokens } of this.entries) {
        for (let slot = 0; slot < observedTokens; slot++) scores[slot] = policy.accumulate(scores[slot]!, observed[slot]!, 1, capacity);
      }
    }
    for (const entries of this.entries) entries.observedTokens = 0;
    this.viewed = false;
    this.afterCommit(position + 1);
  }

  commitRows({ experts, probabilities }: Planned, position: number): void {
    const { spec: { policy }, capacity } = this.limit;
    experts.forEach((expert, row) => {
      const score = probabilities && policy.accumulate?.(0, probabilities[row]!, experts.length - row, capacity);
      this.#append(expert, position + row, score ?? 0);
    });
    this.settle();
    this.afterRows(position + experts.length);
  }

  override settle(): void {
    super.settle();
    for (const entries of this.entries) entries.observedTokens = 0;
  }

  expertOf(position: number): number | null {
    const found = this.arenas.findIndex(({ tokens }, e) => this.entries[e]!.positions.subarray(0, tokens).includes(position));
    return found < 0 ? null : found;
  }

  prepareTruncate(position: number): void {
    this.arenas.forEach((_, arena) => this.prepareRemove(arena, this.#slotsFrom(arena, position)));
  }

  truncate(position: number): void {
    this.arenas.forEach((_, arena) => this.remove(arena, this.#slotsFrom(arena, position)));
  }

  abstract override fork(): SlottedLayer;

  /** When the token of a step came. @param tokensSeen of the sequence */
  protected abstract afterCommit(tokensSeen: number): void;

  /** When the rows of a prompt came. */
  protected afterRows(tokensSeen: number): void {
    this.afterCommit(tokensSeen);
  }

  /** All tokens, one arena after the other, and where each arena begins. */
  protected gather(tokensSeen: number): { kept: Omit<RankedTokens, 'capacity' | 'seed'>; starts: number[] } {
    const { tokens, layer } = this;
    const positions = new Int32Array(tokens);
    const scores = new Float32Array(tokens);
    const starts = this.arenas.map((_, arena) => this.arenas.slice(0, arena).reduce((sum, other) => sum + other.tokens, 0));
    this.arenas.forEach((arena, i) => {
      positions.set(this.entries[i]!.positions.subarray(0, arena.tokens), starts[i]);
      scores.set(this.entries[i]!.scores.subarray(0, arena.tokens), starts[i]);
    });
    return { kept: { layer, tokensSeen, positions, scores }, starts };
  }

  /**
   * @param incoming tokens that come before the slots are taken away
   * @throws BackendError when there is no memory for a page of its own; what is cached is as before
   */
  protected prepareRemove(arena: number, slots: readonly number[], incoming = 0): void {
    const left = this.arenas[arena]!.tokens + incoming - slots.length;
    for (const slot of slots) if (slot < left) this.arenas[arena]!.own(slot);
  }

  /** @param slots in ascending order */
  protected remove(expert: number, slots: readonly number[]): void {
    const arena = this.arenas[expert]!;
    const left = arena.tokens - slots.length;
    const gone = new Set(slots);
    let last = arena.tokens;
    for (const slot of slots) {
      if (slot >= left) break;
      do last--;
      while (gone.has(last));
      arena.store.move(arena.slot(last), arena.slot(slot));
      this.entries[expert]!.put(slot, this.entries[expert]!, last);
    }
    arena.truncate(left);
    this.entries[expert]!.resize(left);
  }

  #append(expert: number, position: number, score: number): void {
    const entries = this.entries[expert]!;
    const slot = this.arenas[expert]!.tokens++;
    entries.resize(slot + 1);
    entries.positions[slot] = position;
    entries.scores[slot] = score;
  }

  #slotsFrom(arena: number, position: number): number[] {
    const slots: number[] = [];
    this.entries[arena]!.positions.subarray(0, this.arenas[arena]!.tokens).forEach((p, slot) => {
      if (p >= position) slots.push(slot);
    });
    return slots;
  }
}

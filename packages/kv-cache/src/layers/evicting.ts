import { ArgumentError, BackendError } from '@mixsga/backend';
import type { EvictionPolicy } from '../eviction/policy';
import type { Arena } from './arena';
import { CacheLayer, type Planned } from './layer';

/** Entries by which the buffers of an arena grow and shrink. */
const STEP = 32;

/** What an evicting layer knows of the tokens of one arena, by slot. */
export class SlotEntries {
  positions = new Int32Array(0);
  scores = new Float32Array(0);
  /** Attention seen since the cache last changed, of `observedTokens` tokens; it becomes part of the scores with the commit. */
  observed = new Float32Array(0);
  observedTokens = 0;

  get allocatedBytes(): number {
    return this.positions.byteLength + this.scores.byteLength + this.observed.byteLength;
  }

  /** Makes room for `tokens` entries, and gives back room for twice as many. */
  resize(tokens: number): void {
    const capacity = this.positions.length;
    if (tokens <= capacity && (capacity <= 2 * tokens || capacity <= STEP)) return;
    const length = Math.ceil((tokens + (tokens > capacity ? tokens >> 3 : 0)) / STEP) * STEP;
    this.positions = resized(Int32Array, this.positions, length);
    this.scores = resized(Float32Array, this.scores, length);
    if (this.observed.length > 0) this.observed = resized(Float32Array, this.observed, length);
  }

  move(from: number, to: number): void {
    this.positions[to] = this.positions[from]!;
    this.scores[to] = this.scores[from]!;
  }

  copy(): SlotEntries {
    const copy = new SlotEntries();
    copy.positions = this.positions.slice();
    copy.scores = this.scores.slice();
    return copy;
  }
}

/**
 * A layer that keeps what its policy leaves. An evicted token's slot is taken by the last token of its arena, so that
 * slots are in no order: each has its token's position and score.
 */
export class EvictingLayer extends CacheLayer {
  constructor(
    arenas: readonly Arena[],
    groupSizes: readonly number[],
    readonly policy: EvictionPolicy,
    /** Its number, for the policy. */
    private readonly layer: number,
    readonly entries: readonly SlotEntries[] = arenas.map(() => new SlotEntries()),
  ) {
    super(arenas, groupSizes);
  }

  override get observes(): boolean {
    return this.policy.accumulate !== undefined;
  }

  get placeBytes() {
    const allocated = this.entries.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
    return { used: 8 * this.tokens, allocated };
  }

  /** Their slots are in no order, so that none may be there. */
  protected countBefore(position: number): readonly number[] {
    return this.arenas.map(({ tokens }, expert) => {
      const early = this.entries[expert]!.positions.subarray(0, tokens).find((kept) => kept < position);
      if (early === undefined) return 0;
      throw new ArgumentError(
        `KvCache.view: expected a window that has every token kept by eviction ${this.policy.spec}, got one from token ${position} ` +
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
    const { accumulate } = this.policy;
    if (accumulate) {
      for (const { scores, observed, observedTokens } of this.entries) {
        for (let slot = 0; slot < observedTokens; slot++) scores[slot] = accumulate(scores[slot]!, observed[slot]!, 1);
      }
    }
    for (const entries of this.entries) entries.observedTokens = 0;
    this.viewed = false;
    this.#evict(position + 1);
  }

  commitRows({ experts, probabilities }: Planned, position: number): void {
    const { accumulate } = this.policy;
    experts.forEach((expert, row) => {
      const score = accumulate && probabilities ? accumulate(0, probabilities[row]!, experts.length - row) : 0;
      this.#append(expert, position + row, score);
    });
    this.settle();
    this.#evict(position + experts.length);
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
    this.arenas.forEach((_, expert) => this.#prepareRemove(expert, this.#slotsFrom(expert, position)));
  }

  truncate(position: number): void {
    this.arenas.forEach((_, expert) => this.#remove(expert, this.#slotsFrom(expert, position)));
  }

  fork(): EvictingLayer {
    return new EvictingLayer(
      this.arenas.map((arena) => arena.fork()),
      this.groupSizes,
      this.policy,
      this.layer,
      this.entries.map((entries) => entries.copy()),
    );
  }

  #append(expert: number, position: number, score: number): void {
    const entries = this.entries[expert]!;
    const slot = this.arenas[expert]!.tokens++;
    entries.resize(slot + 1);
    entries.positions[slot] = position;
    entries.scores[slot] = score;
  }

  #evict(tokensSeen: number): void {
    const { tokens } = this;
    const count = tokens - this.policy.capacity;
    if (count <= 0) return;
    // One arena after the other.
    const positions = new Int32Array(tokens);
    const scores = new Float32Array(tokens);
    const starts = this.arenas.map((_, expert) => this.arenas.slice(0, expert).reduce((sum, arena) => sum + arena.tokens, 0));
    this.arenas.forEach((arena, expert) => {
      positions.set(this.entries[expert]!.positions.subarray(0, arena.tokens), starts[expert]);
      scores.set(this.entries[expert]!.scores.subarray(0, arena.tokens), starts[expert]);
    });
    const chosen = [...new Set(this.policy.evict({ layer: this.layer, tokensSeen, positions, scores }, count))];
    if (chosen.length !== count || chosen.some((i) => !(i in positions))) {
      throw new ArgumentError(
        `eviction ${this.policy.spec}: expected ${count} different tokens of ${tokens}, got ${chosen.join(', ')}`,
      );
    }
    chosen.sort((a, b) => a - b);
    starts.forEach((start, expert) => {
      const slots = chosen.filter((i) => i >= start && i < (starts[expert + 1] ?? tokens)).map((i) => i - start);
      if (slots.length > 0) this.#evictSlots(expert, slots);
    });
  }

  /** A page that a fork holds too has to be copied first. Where there is no memory for that, the tokens go another time. */
  #evictSlots(expert: number, slots: readonly number[]): void {
    try {
      this.#prepareRemove(expert, slots);
    } catch (error) {
      if (BackendError.isInstance(error)) return;
      throw error;
    }
    this.#remove(expert, slots);
  }

  #slotsFrom(expert: number, position: number): number[] {
    const slots: number[] = [];
    this.entries[expert]!.positions.subarray(0, this.arenas[expert]!.tokens).forEach((p, slot) => {
      if (p >= position) slots.push(slot);
    });
    return slots;
  }

  /** @throws BackendError when there is no memory for a page of its own; what is cached is as before */
  #prepareRemove(expert: number, slots: readonly number[]): void {
    const arena = this.arenas[expert]!;
    for (const slot of slots) if (slot < arena.tokens - slots.length) arena.own(slot);
  }

  /** @param slots in ascending order */
  #remove(expert: number, slots: readonly number[]): void {
    const arena = this.arenas[expert]!;
    const left = arena.tokens - slots.length;
    const gone = new Set(slots);
    let last = arena.tokens;
    for (const slot of slots) {
      if (slot >= left) break;
      do last--;
      while (gone.has(last));
      arena.store.move(arena.slot(last), arena.slot(slot));
      this.entries[expert]!.move(last, slot);
    }
    arena.truncate(left);
    this.entries[expert]!.resize(left);
  }
}

function resized<A extends Int32Array | Float32Array>(type: new (length: number) => A, array: A, length: number): A {
  const copy = new type(length);
  copy.set(array.subarray(0, length));
  return copy;
}

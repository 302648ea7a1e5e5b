import type { LayerView, StorePlan } from '@mixsga/backend';
import type { Arena } from './arena';

/** Rows that are to be appended. */
export interface Planned {
  /** The expert of each row. */
  readonly experts: Int32Array;
  /** The attention probability that each row got from all rows, summed over query heads; null where nobody asked. */
  probabilities: Float32Array | null;
}

/** One layer of a cache: an arena for each expert, and what tells a token's place in them. */
export abstract class CacheLayer {
  planned: Planned | null = null;
  /** Whether {@link view} gave out the slots that the next token goes to. */
  viewed = false;

  constructor(
    readonly arenas: readonly Arena[],
    /** Tokens are stored in this many arenas, the first ones. The others are for those that were coarsened. */
    protected readonly experts: number,
  ) {}

  /** Tokens kept. */
  get tokens(): number {
    return this.arenas.reduce((sum, { tokens }) => sum + tokens, 0);
  }

  /** Whether attention probabilities matter. */
  get observes(): boolean {
    return false;
  }

  /** Bytes of what tells the tokens' places, and of the buffers that hold it. */
  abstract readonly placeBytes: { used: number; allocated: number };

  /**
   * @param tokensSeen of the sequence
   * @param first the position of the first token that the next one sees
   * @throws BackendError when there is no memory for a page, ArgumentError as {@link prepareStep} and {@link countBefore}; what is cached is as before
   */
  view(tokensSeen: number, first: number): LayerView {
    if (this.planned) this.settle();
    this.prepareStep(tokensSeen);
    const hidden = first > 0 ? this.countBefore(first) : null;
    const own = this.arenas.slice(0, this.experts);
    for (const arena of own) arena.reserve(1);
    this.viewed = true;
    return {
      segments: this.arenas.map(({ format, store, pages, tokens }, expert) => (
        hidden ? { format, store, pages, tokens, from: hidden[expert]! } : { format, store, pages, tokens }
      )),
      slots: own.map((arena) => arena.slot(arena.tokens)),
    };
  }

  /** @throws BackendError when there is no memory for the pages; what is cached is as before */
  plan(experts: Int32Array): StorePlan[] {
    this.settle();
    const rows = this.arenas.map((): number[] => []);
    experts.forEach((expert, row) => rows[expert]!.push(row));
    this.arenas.forEach((arena, expert) => arena.reserve(rows[expert]!.length));
    this.planned = { experts: experts.slice(), probabilities: null };
    return this.arenas.flatMap((arena, expert) => {
      if (rows[expert]!.length === 0) return [];
      const { format, store, pages, tokens } = arena;
      return [{ segment: { format, store, pages, tokens }, firstSlot: tokens, rows: Int32Array.from(rows[expert]!) }];
    });
  }

  /**
   * Makes room for the token of a step.
   * @throws BackendError when there is no memory to do that in, ArgumentError when there is no room; what is cached is as before
   */
  protected prepareStep(_tokensSeen: number): void {}

  /**
   * How many of the tokens before a position each arena has, all in its first slots.
   * @throws ArgumentError when they are elsewhere
   */
  protected abstract countBefore(position: number): readonly number[];

  /** Attention of the step's token to a segment. */
  observe(_segment: number, _probabilities: Float32Array): void {}

  /** Forgets what was given out or observed but not committed, and gives back the pages that only this needed. */
  settle(): void {
    this.viewed = false;
    this.planned = null;
    for (const arena of this.arenas) arena.truncate(arena.tokens);
  }

  /** The token at `position` is in the next slot of its expert. Then the policy evicts. */
  abstract commit(expert: number, position: number): void;

  /** The planned rows are in their slots, the first at `position`. Then the policy evicts. */
  abstract commitRows(planned: Planned, position: number): void;

  /** The expert of the token at a position; null when it was evicted. */
  abstract expertOf(position: number): number | null;

  /**
   * What {@link truncate} needs memory for.
   * @throws BackendError when there is none; what is cached is as before
   */
  abstract prepareTruncate(position: number): void;

  /** Drops the tokens from a position on. */
  abstract truncate(position: number): void;

  abstract fork(): CacheLayer;

  /** Gives all pages back. */
  dispose(): void {
    for (const arena of this.arenas) arena.truncate(0);
  }
}

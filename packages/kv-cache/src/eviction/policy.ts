import { ArgumentError } from '@mixsga/backend';

/**
 * Which tokens a full layer gives up. Capacity is counted in tokens of a layer: a token stays or goes with all its heads,
 * whatever its expert stores of it. The score of each token is all that a policy remembers, and the cache keeps it.
 */
export interface EvictionPolicy {
  /** Names the policy with its settings: what `parseEviction` reads, or a name of your own. */
  readonly spec: string;
  /** Tokens that a layer keeps, from 1. */
  readonly capacity: number;
  /**
   * The score of a token, at first 0, after `queries` later queries gave it attention `probability` in total, summed over
   * query heads. A policy without it needs no attention.
   */
  readonly accumulate?: (score: number, probability: number, queries: number) => number;
  /**
   * Chooses what goes when a layer has `count` tokens more than the capacity.
   * @returns `count` different indices into `tokens`
   */
  evict(tokens: KeptTokens, count: number): readonly number[];
}

/** The tokens of a layer, in no order that means anything. */
export interface KeptTokens {
  readonly layer: number;
  /** Tokens of the sequence so far, kept or not; also the position of the next one. */
  readonly tokensSeen: number;
  readonly positions: Int32Array;
  readonly scores: Float32Array;
}

export interface EvictionOptions {
  /** The length that the sequence can reach. */
  readonly maxTokens?: number;
}

/** Makes a policy, or null to keep every token; pass one of your own as `eviction` without registering anything. */
export type EvictionFactory = (options: EvictionOptions) => EvictionPolicy | null;

/** An entry of the catalog: how its text is written and read. */
export interface EvictionKind {
  /** For messages, such as `h2o:R`. */
  readonly form: string;
  readonly example: string;
  /** Reads what follows the name and its colon, null where nothing does; null when that is not of the form. */
  parse(argument: string | null): EvictionFactory | null;
}

/** Reads a keep ratio, above 0 and up to 1; null when it is none. */
export function parseRatio(text: string | null): number | null {
  if (text === null || !/^\d*\.?\d+$/.test(text)) return null;
  const ratio = Number(text);
  return ratio > 0 && ratio <= 1 ? ratio : null;
}

/**
 * ⌈ratio · maxTokens⌉
 * @throws ArgumentError when maxTokens is not a whole number from 1
 */
export function capacityOf(spec: string, ratio: number, { maxTokens }: EvictionOptions): number {
  if (maxTokens === undefined || !Number.isInteger(maxTokens) || maxTokens < 1) {
    throw new ArgumentError(
      `eviction ${spec}: expected maxTokens, of which it keeps a share, to be a whole number from 1, got ${maxTokens}`,
    );
  }
  // Ratios are decimal: 0.07 · 100 is 7.000000000000001.
  return Math.max(1, Math.ceil(ratio * maxTokens - 1e-9));
}

/** The tokens with a position from `first` to below `end`, as indices. */
export function between({ positions }: KeptTokens, first: number, end: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < positions.length; i++) {
    if (positions[i]! >= first && positions[i]! < end) found.push(i);
  }
  return found;
}

/** The `count` of the candidates with the lowest keys; of equal ones the older first. Keys are by index, like positions. */
export function lowest({ positions }: KeptTokens, candidates: readonly number[], keys: ArrayLike<number>, count: number): number[] {
  const order = (a: number, b: number) => keys[a]! - keys[b]! || positions[a]! - positions[b]!;
  if (count > 1) return [...candidates].sort(order).slice(0, count);
  // As in every step of decoding.
  let best = candidates[0]!;
  for (const i of candidates) if (keys[i]! <= keys[best]! && order(i, best) < 0) best = i;
  return [best];
}

/**
 * How the tokens of a full layer are ranked. What happens to the lowest (they are evicted, or coarsened) is the business of the cache, see
 * `CacheSpec`. A number for each token is all that a policy remembers, and the cache keeps it. A token is kept, coarsened or evicted as a
 * whole, whatever its format stores of it.
 */
export interface CachePolicy {
  /** Its name in texts: letters, digits and hyphens. */
  readonly name: string;
  /** In one line: which tokens go first, and which last. */
  readonly description: string;
  /** Whether {@link rank} draws at random, so that a text may have a seed after the limit. */
  readonly draws?: boolean;
  /**
   * The score of a token, at first 0, after `queries` later queries gave it attention `probability` in total, summed over query heads. A policy
   * with it needs attention probabilities; one without needs nothing.
   * @param capacity as in {@link RankedTokens}
   */
  readonly accumulate?: (score: number, probability: number, queries: number, capacity: number) => number;
  /**
   * A number for each token: the lowest go first, of equal ones the older. The same for the same input, and not the lowest for the
   * newest token, at position `tokensSeen - 1`, which no query has seen yet.
   */
  rank(tokens: RankedTokens): ArrayLike<number>;
}

/** The tokens of a layer, in no order that means anything. */
export interface RankedTokens {
  readonly layer: number;
  /** Tokens of the sequence so far, kept or not; also the position of the next one. */
  readonly tokensSeen: number;
  readonly positions: Int32Array;
  readonly scores: Float32Array;
  /** Tokens that the layer keeps between two steps: with a limit in bytes, if each were stored by the finest expert. */
  readonly capacity: number;
  /** For policies that draw: from the text, default 0. */
  readonly seed: number;
}

/** The rank of each token that `protects` does not protect; protected ones go last. */
export function unless(
  { positions }: RankedTokens, protects: (position: number) => boolean, rank: (index: number, position: number) => number,
): Float64Array {
  return Float64Array.from(positions, (position, i) => (protects(position) ? Infinity : rank(i, position)));
}

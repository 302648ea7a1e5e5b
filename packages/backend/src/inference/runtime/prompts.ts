// Prompts: the keys and values of many tokens at a time.
import type { KvWeights } from './tokens';
import type { Rows } from './vectors';

export interface CausalOptions {
  /** Query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly scale: number;
  /** Scores s become softCap·tanh(s / softCap). Default: they stay as they are. */
  readonly softCap?: number;
  /** Tokens that a query sees at most: itself and those before it. Default: all. */
  readonly window?: number;
  /** Tokens of k and v, of which the queries are the last. Default: as many as there are queries. */
  readonly keys?: number;
  /** The KV heads whose query heads are computed, from `first` up to before `end`; what `out` has of the others stays. Default: all. */
  readonly kvRange?: { readonly first: number; readonly end: number };
  /** [keys, 1]: the attention probability that each token gets, summed over these queries and query heads, is added to it. */
  readonly received?: Rows;
}

export interface PromptRuntime {
  /** k, v [rows, kvHeads·headDim] */
  project(weights: KvWeights, x: Rows, k: Rows, v: Rows, rows: number): void;
  /** Each head of the first rows becomes what pages of int8 give back of it, in place. */
  roundToInt8(x: Rows, rows: number, headDim: number): void;
  /** @param q, out [rows, heads·headDim] @param k, v [keys, kvHeads·headDim] */
  causalAttention(q: Rows, k: Rows, v: Rows, out: Rows, rows: number, options: CausalOptions): void;
}

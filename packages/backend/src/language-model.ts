// What those who make models and those who measure them agree on: types, and no model.
import type { KvType } from './inference/kv-type';

/**
 * Which rule gives tokens their expert. `prefill`: progressive expert choice over the whole window, in which later
 * tokens influence earlier ones. `decode`: arg max of the token's own scores, strictly autoregressive. A model that
 * does not route gives the same numbers under both.
 */
export type Routing = 'prefill' | 'decode';

/** The experts that one layer gives to tokens, under both rules: row-major arrays of windows of T tokens, or tensors. */
export interface LayerRouting<Experts = Int32Array, Scores = Float32Array> {
  /** Expert of each token by progressive expert choice: [windows, T]. */
  readonly prefill: Experts;
  /** Expert of each token by arg max: [windows, T]. */
  readonly decode: Experts;
  /** Router scores [windows, T, E], where the model gives them out. */
  readonly scores?: Scores;
}

/** What a model keeps of a token in its KV cache. */
export interface KvTraits {
  /** Element type of keys and values. Default f32. */
  readonly type?: KvType;
  /** Bytes per token as asked for by the ratios, the expert index included. */
  readonly bytesPerToken: number;
  /** The same of the unmodified model with that element type, which keeps every KV head of every layer. */
  readonly bytesPerTokenFull: number;
  /** Share of the unmodified KV cache as asked for, the expert index not counted: 0.5 for gqa:2. */
  readonly budget: number;
  /**
   * How many times fewer numbers each expert stores of a token than the unmodified model: KV heads that share a stored one, where heads are
   * grouped. A single one where the model does not route.
   */
  readonly groupSizes: readonly number[];
  /** Asked share of the tokens of each expert over all layers, summing to 1; [1] where the model does not route. */
  readonly ratios: readonly number[];
  /** The same by layer, where layers differ. */
  readonly layerRatios?: readonly (readonly number[])[];
}

/** What long work takes beside its own options. */
export interface WorkOptions {
  /** Aborts within about a tenth of a second: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How much is done, from 0 to 1; not called where that is short. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

import type * as tf from '@tensorflow/tfjs-core';

/**
 * Which rule gives tokens their expert. `prefill`: progressive expert choice over the whole window, in which later
 * tokens influence earlier ones. `decode`: arg max of the token's own scores, strictly autoregressive. A model that
 * does not route gives the same numbers under both.
 */
export type Routing = 'prefill' | 'decode';

/** The experts that one layer gives to a batch of windows, under both rules. */
export interface LayerRouting {
  /** Expert of each token by progressive expert choice: int32 [B, T]. */
  readonly prefill: tf.Tensor;
  /** Expert of each token by arg max: int32 [B, T]. */
  readonly decode: tf.Tensor;
  /** Router scores [B, T, E], where the model gives them out. */
  readonly scores?: tf.Tensor;
}

/** What a model keeps of a token in its KV cache. */
export interface KvTraits {
  /** Bytes per token as asked for by the ratios, the expert index included. */
  readonly bytesPerToken: number;
  /** Bytes per token of the unmodified model, which keeps every KV head of every layer. */
  readonly bytesPerTokenFull: number;
  /** Share of the unmodified KV cache as asked for, the expert index not counted: 0.5 for gqa:2. */
  readonly budget: number;
  /** Group size of each expert; a single one where the model does not route. */
  readonly groupSizes: readonly number[];
  /** Asked share of the tokens of each expert, summing to 1; [1] where the model does not route. */
  readonly ratios: readonly number[];
}

/** All that an evaluator knows of a model. Tensors that these functions return belong to the caller. */
export interface LanguageModel {
  /** Longest window in tokens. */
  readonly contextLength: number;
  readonly kv: KvTraits;
  /** Negative log-likelihood in nats of `targets` [B, T] int32, each given the inputs up to its place: float32 [B, T]. */
  tokenNll(inputs: tf.Tensor2D, targets: tf.Tensor2D, options: { routing: Routing }): tf.Tensor;
  /**
   * The experts of `inputs` [B, T] int32 in a pass whose layers follow `routing`, an entry for each layer that routes;
   * empty where none does.
   */
  routingOf(inputs: tf.Tensor2D, options: { routing: Routing }): readonly LayerRouting[];
  /**
   * What {@link tokenNll} gives under decode routing, token by token through a KV cache from which an eviction policy takes
   * tokens. `inputs` and `targets` are row-major [windows, T], and so is the result. A model without such a cache has none.
   *
   * @throws ArgumentError when there is no such policy
   */
  streamNll?(inputs: Int32Array, targets: Int32Array, options: StreamOptions): Promise<Float32Array>;
}

export interface StreamOptions {
  /** Windows, each with a cache of its own. */
  readonly windows: number;
  /** The policy, such as `h2o:0.6`, which keeps its share of a window's length. */
  readonly eviction: string;
  /** Aborts between two tokens: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

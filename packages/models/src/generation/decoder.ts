import type { CacheSpec, KvCache } from '@mixsga/kv-cache';
import type { PassOptions } from '../decoder/pace';

/** A model ready to generate: weights packed on a backend, and caches for its sequences. */
export interface Decoder {
  readonly vocabularySize: number;
  /** Tokens that a sequence can have at most. */
  readonly contextLength: number;
  /** The attention variant, such as `mixsga:3:1:6`. */
  readonly attention: string;
  /** Bytes of all packed weights. */
  readonly weightBytes: number;

  /** An empty cache for one sequence. */
  createCache(options?: CacheOptions): KvCache;

  /** A cache from what `KvCache.serialise` gave. @throws ArgumentError when it is damaged or of another model */
  restoreCache(bytes: Uint8Array, options?: CacheOptions): Promise<KvCache>;

  /**
   * Takes a text into an empty cache in one pass. The first `promptTokens` tokens are routed by expert choice among themselves,
   * as in training; later ones, which an earlier generation decoded, each by its own arg max.
   *
   * Others have their turn about ten times a second meanwhile. When it throws, the cache is empty.
   *
   * @throws ArgumentError when the tokens are none, more than {@link contextLength}, or not of the vocabulary; the signal's reason
   * @throws BackendError when the logits are NaN or infinite
   */
  prefill(tokens: Int32Array, cache: KvCache, options: PrefillOptions): Promise<StepOutput>;

  /**
   * Takes one token into each of some caches, every one routed by its own arg max. When it throws, no cache has changed.
   * @throws BackendError when the logits are NaN or infinite
   */
  step(tokens: Int32Array, caches: readonly KvCache[], options: { want: Want }): Promise<StepOutput>;

  dispose(): void;
}

export interface PrefillOptions extends PassOptions {
  /** Tokens that are routed by expert choice. Default: all. */
  readonly promptTokens?: number;
  readonly want: Want;
}

export interface CacheOptions {
  /** What keeps the cache small, or its text, such as `h2o:0.6` or `mean-attention:65536B`: see `CacheSpec` of @mixsga/kv-cache. Default: no limit. */
  readonly cache?: string | CacheSpec;
  /** The length that the sequence can reach: what shares are of, and what has to fit where nothing is evicted. Default: the context length. */
  readonly maxTokens?: number;
}

/** `argMax`: only the likeliest next token leaves the device. `logits`: all logits do. */
export type Want = 'argMax' | 'logits';

export interface StepOutput {
  /** int32 [sequences]: the likeliest next token of each, with `want: 'argMax'`. */
  readonly argMax: Int32Array | null;
  /** float32 [sequences, vocabulary]: logits of the next token, valid until the next call; with `want: 'logits'`. */
  readonly logits: Float32Array | null;
}

import type { Tensor } from '@tensorflow/tfjs-core';

/** Keys and values of the same tokens. */
export interface KeyValue<T extends Tensor = Tensor> {
  readonly k: T;
  readonly v: T;
}

/**
 * How the keys and values of one token are stored in the cache, and read back. All experts of a layer share the
 * layer's own projections: an expert sees their output only (paper section 3.3).
 *
 * Both functions are differentiable, take any leading dimensions, work token by token, and leave their arguments to
 * the caller, who also owns the results. Expanding what was compressed and compressing it again changes nothing.
 */
export interface Expert {
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  /** Heads that are stored for a token. */
  readonly storedHeads: { readonly k: number; readonly v: number };
  /**
   * Set when a stored head is the mean of this many consecutive KV heads, for keys and values alike: such experts
   * are computed by the fused operation. Any other expert works through `compress` and `expand`.
   */
  readonly groupSize?: number;

  /**
   * @param k, v float32 [..., KV heads, head dimension]
   * @returns float32 [..., stored heads, head dimension]
   */
  compress(k: Tensor, v: Tensor): KeyValue;

  /**
   * What attention sees of a stored token.
   * @returns float32 [..., KV heads, head dimension]
   */
  expand(stored: KeyValue): KeyValue;
}

export interface ExpertOptions {
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  /** KV heads that share a stored head; a divisor of `kvHeads`. */
  readonly groupSize: number;
}

/** Makes an expert; pass one of your own to {@link createExpert} to use it without registering anything. */
export type ExpertFactory = (options: ExpertOptions) => Expert;

import type { Tensor } from '@tensorflow/tfjs-core';
import type { LatentBasis } from './latent/basis';

/** Keys and values of the same tokens. */
export interface KeyValue<T extends Tensor = Tensor> {
  readonly k: T;
  readonly v: T;
}

/** What the experts of a layer have in common. */
export interface ExpertLayout {
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  readonly headDim: number;
}

/**
 * How the keys and values of one token are stored in the cache, and read back. All experts of a layer share the
 * layer's own projections: an expert sees their output only (paper section 3.3), and may know constants of its layer, which
 * belong to who made it and are not trained.
 *
 * Both functions are differentiable, take any leading dimensions, work token by token, and leave their arguments to
 * the caller, who also owns the results. Expanding what was compressed and compressing it again changes nothing.
 */
export interface Expert extends ExpertLayout {
  /**
   * What a token takes in the cache, keys and values together: `heads` vectors of `headDim` numbers. Each has a scale of its own
   * where a cache quantises; that is the cache's affair.
   */
  readonly stored: { readonly heads: number; readonly headDim: number };
  /**
   * Set when a stored head is the mean of this many consecutive KV heads, for keys and values alike: such experts
   * are computed by the fused operation. Any other expert works through `compress` and `expand`.
   */
  readonly groupSize?: number;
  /**
   * Experts that have the same object here store a single vector, of which those of fewer numbers have the first ones of those of more,
   * and read the rest as 0. Then a mixture is computed by one expert instead of all.
   */
  readonly nestedIn?: object;
  /** Set when what is stored is the latent of a basis: such experts are decoded by kernels where the runtime has them. */
  readonly latent?: LatentBasis;

  /**
   * @param k, v float32 [..., KV heads, head dimension]
   * @returns float32 [..., stored heads, stored head dimension]
   */
  compress(k: Tensor, v: Tensor): Tensor;

  /**
   * What attention sees of a stored token.
   * @returns float32 [..., KV heads, head dimension]
   */
  expand(stored: Tensor): KeyValue;
}

/** Makes an expert; pass one of your own to `createExpert` to use it without registering anything. */
export type ExpertFactory<Options extends ExpertLayout = ExpertLayout> = (options: Options) => Expert;

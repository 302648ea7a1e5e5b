// What the experts of a layer store of a token. A format has a meaning, in tensors, which any runtime can run; where a runtime has
// kernels for it too, `kernel` says with what.
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { Grouping } from '../inference/runtime';
import type { StoredFormat } from './stored-format';

/** Keys and values of the same tokens. */
export interface KeyValue<T extends Tensor = Tensor> {
  readonly k: T;
  readonly v: T;
}

/**
 * How the keys and values of one token are stored in the cache, and read back: an expert of a layer. All experts of a layer share the
 * layer's own projections: a format sees their output only (paper section 3.3), and may know constants of its layer, which belong to
 * who made it and are not trained.
 *
 * `encode` and `decode` are its meaning. Both are differentiable, take any leading dimensions, work token by token, and leave their
 * arguments to the caller, who also owns the results. Decoding what was encoded and encoding it again changes nothing.
 */
export interface KvFormat extends StoredFormat {
  /**
   * Formats that have the same object here store a single vector, of which those of fewer dimensions have the first ones of those of more,
   * and read the rest as 0. Then a mixture is computed by one format instead of all.
   */
  readonly nestedIn?: object;
  /** For kernels of latents: the stored dimensions are the first ones of the latent of this basis. */
  readonly basis?: LatentBasis;

  /**
   * @param k, v float32 [..., KV heads, head dimension]
   * @returns float32 [..., stored heads, stored head dimension]
   */
  encode(k: Tensor, v: Tensor): Tensor;

  /**
   * What attention sees of a stored token.
   * @returns float32 [..., KV heads, head dimension]
   */
  decode(stored: Tensor): KeyValue;

  /**
   * A coarser form with its meaning in this layer, by which cached tokens are read back.
   * @param form of {@link coarser}, where the format has any; found by its name and shape
   */
  meaningOf?(form: StoredFormat): KvFormat;
}

/** The constants of a layer that its latents are made with. */
export interface LatentBasis {
  /** float32 [2·K·d, R]: orthonormal columns, the most important one first. */
  readonly weight: Tensor2D;
  /** float32 [2·K·d]: what keys, then values, are before anything of their inputs is added. */
  readonly bias: Tensor1D;
  /** float32 [2·K·d]: what makes keys and values comparable. */
  readonly scale: Tensor1D;
}

/** How heads are grouped by formats that all do so alike; null where one does not. */
export function groupingOf(formats: readonly StoredFormat[]): Grouping | null {
  const kernels = formats.flatMap(({ kernel }) => (kernel?.kind === 'grouped' ? [kernel] : []));
  const first = kernels[0];
  if (!first || kernels.length < formats.length || kernels.some(({ pooling }) => pooling !== first.pooling)) return null;
  return { headDim: formats[0]!.headDim, groupSizes: kernels.map(({ groupSize }) => groupSize), pooling: first.pooling };
}

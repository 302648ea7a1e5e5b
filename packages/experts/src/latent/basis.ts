import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

/** The constants of a layer that its latents are made with, see `fitLatentBasis`. */
export interface LatentBasis {
  /** float32 [2·K·d, R]: orthonormal columns, the most important one first. */
  readonly weight: Tensor2D;
  /** float32 [2·K·d]: what keys, then values, are before anything of their inputs is added. */
  readonly bias: Tensor1D;
  /** float32 [2·K·d]: what makes keys and values comparable. */
  readonly scale: Tensor1D;
}

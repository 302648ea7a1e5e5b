// What the experts of a layer store of a token. A format has a meaning, in tensors, which any runtime can run; where a runtime has
// kernels for it too, `kernel` says with what.
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { headBytes, type KvType, type Packing } from '../inference/kv-type';
import type { Pooling } from '../inference/pages';
import type { Grouping } from '../inference/runtime';

/** Keys and values of the same tokens. */
export interface KeyValue<T extends Tensor = Tensor> {
  readonly k: T;
  readonly v: T;
}

/** What the formats of a layer have in common. */
export interface FormatLayout {
  /** KV heads of the layer's projections. */
  readonly kvHeads: number;
  readonly headDim: number;
}

/** What a format stores of a token, keys and values together: `heads` vectors of `headDim` numbers. */
export interface StoredShape {
  readonly heads: number;
  readonly headDim: number;
  /** Set where the numbers are not stored in the element type of the cache, but as the format packs them. */
  readonly packing?: Packing;
}

/**
 * How the keys and values of one token are stored in the cache, and read back: an expert of a layer. All experts of a layer share the
 * layer's own projections: a format sees their output only (paper section 3.3), and may know constants of its layer, which belong to
 * who made it and are not trained.
 *
 * `encode` and `decode` are its meaning. Both are differentiable, take any leading dimensions, work token by token, and leave their
 * arguments to the caller, who also owns the results. Decoding what was encoded and encoding it again changes nothing.
 */
export interface KvFormat extends FormatLayout {
  /** Its text, for tables: the kind and what it is made with, such as `grouped:2`. */
  readonly name: string;
  readonly stored: StoredShape;
  /**
   * Formats that have the same object here store a single vector, of which those of fewer numbers have the first ones of those of more,
   * and read the rest as 0: a coarser form is what is left when the last numbers go. Then a mixture is computed by one format instead of all.
   */
  readonly nestedIn?: object;
  /** Set where runtimes may have kernels that do what the meaning says. */
  readonly kernel?: FormatKernel;

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
}

/** What kernels need to know of a format. */
export type FormatKernel = GroupedKernel | LatentKernel;

/** A stored head is what the pooling makes of so many consecutive KV heads, for keys and values alike. */
export interface GroupedKernel {
  readonly kind: 'grouped';
  readonly groupSize: number;
  readonly pooling: Pooling;
}

/** What is stored are the first numbers of the latent of a basis. */
export interface LatentKernel {
  readonly kind: 'latent';
  readonly basis: LatentBasis;
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

/** Bits of a token in a cache of an element type, scales and all. */
export function storedBits({ heads, headDim, packing }: StoredShape, type: KvType): number {
  return 8 * (packing?.bytes ?? heads * headBytes(type, headDim));
}

/** How heads are grouped by formats that all do so alike; null where one does not. */
export function groupingOf(formats: readonly KvFormat[]): Grouping | null {
  const kernels = formats.flatMap(({ kernel }) => (kernel?.kind === 'grouped' ? [kernel] : []));
  const first = kernels[0];
  if (!first || kernels.length < formats.length || kernels.some(({ pooling }) => pooling !== first.pooling)) return null;
  return { headDim: formats[0]!.headDim, groupSizes: kernels.map(({ groupSize }) => groupSize), pooling: first.pooling };
}

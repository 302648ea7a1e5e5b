// What a cache knows of a format: what is stored of a token, and how that is compressed further. It needs no tensors and no model.
import { headBytes, type KvType, type Packing } from '../inference/kv-type';
import type { Pooling } from '../inference/pooling';

/** What the formats of a layer have in common. */
export interface FormatLayout {
  /** KV heads of the layer's projections. */
  readonly kvHeads: number;
  readonly headDim: number;
}

/** What a format stores of a token, keys and values together: `heads` vectors of `headDim` dimensions. */
export interface StoredShape {
  readonly heads: number;
  readonly headDim: number;
  /** Set where the dimensions are not stored in the element type of the cache, but as the format packs them. */
  readonly packing?: Packing;
}

/** One way to store a token. */
export interface StoredFormat extends FormatLayout {
  /** Its text, in tables and files: the kind and what it is made with, such as `grouped:2`. Another format of the layer has another name. */
  readonly name: string;
  readonly stored: StoredShape;
  /** Set where runtimes may have kernels that do what the meaning says. */
  readonly kernel?: GroupedKernel | { readonly kind: 'latent' };
  /** Where a stored token can be compressed further. Tokens of a format without it are evicted only. */
  readonly coarser?: CoarserForms;
}

/** A stored head is the pooled form of `groupSize` consecutive KV heads, for keys and values alike. */
export interface GroupedKernel {
  readonly kind: 'grouped';
  readonly groupSize: number;
  readonly pooling: Pooling;
}

/** The coarser forms of a format, each of which takes fewer bytes. */
export interface CoarserForms {
  /** The forms that a full cache uses unless sizes are named, the finest first. From each there is a way to all that follow. */
  readonly ladder: readonly StoredFormat[];
  /** Where forms can be chosen by their size, as in `h2o@2,4:50%`; left out where the ladder is all there is. */
  readonly sizes?: SizedForms;
  /** How a token of this format becomes one of another; null where what is stored is not enough for that. */
  to(form: StoredFormat): Coarsening | null;
}

export interface SizedForms {
  /** What sizes divide: KV heads, or the dimensions of a latent. */
  readonly divide: number;
  /** @param size one of the divisors */
  form(size: number): StoredFormat;
}

/** How a stored token becomes one of a coarser form, from what is stored alone. */
export interface Coarsening {
  /** Whether the result is what the coarser form stores of the token itself, up to rounding. If not, it is what that form stores of the token as it is read back. */
  readonly isNested: boolean;
  /** Set where stores of a runtime may have kernels for it. */
  readonly kernel?: { readonly kind: 'grouped'; readonly pooling: Pooling } | { readonly kind: 'latent' };
  /**
   * On the host. Where keys and values are stored apart, it is called for each.
   * @param from a token as it is stored: float32 [heads, headDim], or the bytes of a format that packs
   * @param to the same of the coarser form; every element is written
   */
  apply(from: StoredToken, to: StoredToken): void;
}

/** A token as it is stored: float32 [heads, headDim], or the bytes of a format that packs. */
export type StoredToken = Float32Array | Uint8Array;

/** Bits of a token in a cache of an element type, scales and all. */
export function storedBits({ heads, headDim, packing }: StoredShape, type: KvType): number {
  return 8 * (packing?.bytes ?? heads * headBytes(type, headDim));
}

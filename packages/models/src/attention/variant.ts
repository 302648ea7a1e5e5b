import { ArgumentError, type KvType } from '@mixsga/backend';
import type { FormatLayout, KvFormat, LatentInputs, Pooling, StoredFormat } from '@mixsga/experts';
import type { Tensor } from '@tensorflow/tfjs-core';

/** The attention of a model that a variant is for. */
export interface AttentionShape extends FormatLayout {
  readonly layers: number;
  /** Whether keys are turned by their positions. */
  readonly rotary: boolean;
}

/** How keys and values are grouped, shared and routed: all that a model and its accounting ask of a variant. */
export interface AttentionVariant {
  /** Canonical text, which `parseAttention` reads back. */
  readonly spec: string;

  /**
   * Stored K/V dimensions as a share of the unmodified model's, without an expert index, by the spec alone. Where a format packs its own bits, scales need not
   * count: users see `keptShare`, which asks the formats.
   */
  readonly kvShare: number;

  /** The experts that tokens are routed to, the most expensive first, or null when every token is treated alike: then there is no router. */
  readonly experts: {
    /** Capacity ratios, sum 1: the share of the tokens of all layers that each expert takes. */
    readonly ratios: readonly number[];
    /** Those of one layer, where layers may differ; {@link ratios} is their mean. */
    ratiosOf(layer: number): readonly number[];
    /**
     * The same experts with other ratios.
     * @param byLayer of each layer, normalised or not; rounded to 4 digits
     * @param budget the KV budget to state, if any
     * @throws ArgumentError when the ratios are none, or keep another budget
     */
    withRatios(byLayer: readonly (readonly number[])[], budget?: number): AttentionVariant;
    /** How many times fewer numbers than the unmodified model each stores of a token: its group size, where it groups heads. */
    readonly sizes: readonly number[];
  } | null;

  /** What is stored of a token, by expert. Without routing there is one. */
  readonly formats: LayerFormats;

  /** Heads that the K and V projections have, out of the unmodified model's KV heads: all of them, unless the projections themselves are changed, as by gqa. */
  storedKvHeads(kvHeads: number): number;

  /** The layer whose keys and values a layer attends to: itself, where layers share none, or one before it. */
  kvSource(layer: number): number;

  /** @throws ArgumentError when the variant does not fit the model, saying what would. */
  validate(shape: AttentionShape): void;
}

/** How the formats of a layer are made: those of its experts, the most expensive first. */
export interface LayerFormats {
  /**
   * Whether keys may have been turned by rotary positions when they are stored. False for a fixed basis, as of latents: then rotary models, which are all
   * families but OPT, are refused.
   */
  readonly takesRotatedKeys: boolean;
  /** Group size of each, where all group heads alike, as the fused operations do; null for any other format, which works by `encode` and `decode`. */
  readonly grouping: { readonly groupSizes: readonly number[]; readonly pooling: Pooling } | null;
  /** What each stores of a token, without any constants: all that caches and accounting need. @throws ArgumentError when that does not fit the layout */
  stored(layout: FormatLayout): readonly StoredFormat[];
  /** What they know of their layer beside the layout. */
  readonly constants?: LayerConstants;
  /** @param constants by name; they belong to the caller */
  create(layout: FormatLayout, constants: ReadonlyMap<string, Tensor>): readonly KvFormat[];
}

/** Tensors that belong to a layer beside its parameters and are not trained. */
export interface LayerConstants {
  /** Their shapes by name; in a checkpoint the name follows that of the layer and `self_attn`. */
  shapes(layout: FormatLayout): ReadonlyMap<string, number[]>;
  /** Their values, from the layer's weights on conversion. */
  fit(layer: LayerWeights, layout: FormatLayout): ReadonlyMap<string, Float32Array>;
  /** Looks at values that come from a file. @throws ArgumentError when they are none that `fit` could give */
  check(values: ReadonlyMap<string, Float32Array>, layout: FormatLayout): void;
}

/** What a layer's keys and values are made by. */
export type LayerWeights = Omit<LatentInputs, 'rank'>;

/** What formats see of a layer of a model. */
export function formatLayout({ storedKvHeads }: AttentionVariant, { kvHeads, headDim }: FormatLayout): FormatLayout {
  return { kvHeads: storedKvHeads(kvHeads), headDim };
}

/** The layers that have keys and values of their own, in ascending order. */
export function storingLayers(layers: number, { kvSource }: AttentionVariant): number[] {
  return Array.from({ length: layers }, (_, layer) => layer).filter((layer) => kvSource(layer) === layer);
}

/** @throws ArgumentError for an element type that no format of the variant stores */
export function expectKvType(type: KvType, variant: AttentionVariant, layout: FormatLayout): void {
  if (type === 'f32' || !variant.formats.stored(formatLayout(variant, layout)).every(({ stored }) => stored.packing)) return;
  throw new ArgumentError(`kv: expected no element type for ${variant.spec}, which packs all that it stores to bits of its own, got ${type}; leave it out`);
}

/** An entry of the catalog. */
export interface AttentionKind {
  /** What a spec of this kind looks like, for help texts and errors. */
  readonly form: string;
  readonly example: string;
  readonly description: string;

  /**
   * @param parameters what follows the kind's name and a colon; null when there is no colon
   * @returns null when that is not of this kind's form
   * @throws ArgumentError when it is of the form and its numbers are wrong
   */
  parse(parameters: string | null): AttentionVariant | null;
}

// What a model takes: numbers of its parameters, their bytes, and the work of a token.
import { storedBits, weightTypes, type KvTraits, type KvType, type WeightType } from '@mixsga/backend';
import { kvShare } from '@mixsga/experts';
import { kvBytesPerToken, type StoredToken } from '@mixsga/kv-cache';
import { knownAttention, parseAttention } from '../attention/index';
import { formatLayout, storingLayers, type AttentionVariant } from '../attention/variant';
import { type ModelConfig, modelShape, type ModelShape } from '../config/shape';
import { familyOf } from '../families/index';
import { storedParameters } from '../checkpoints/stored-parameters';
import { constantSpecs } from '../attention/layer-constants';

export interface ModelCost {
  readonly parameters: number;
  /** Bytes of the weights by the type that they are packed in; norms, positions, routers and constants of layers are float32 in all. */
  readonly weightBytes: Readonly<Record<WeightType, number>>;
  /** Bytes of the largest matrix by type. */
  readonly largestBytes: Readonly<Record<WeightType, number>>;
  /** Floating-point operations of a token in decode, two for each weight that it is multiplied by, without attention and what experts compute. */
  readonly flopsPerToken: number;
  /** What attention adds for each token in the cache. */
  readonly flopsPerCachedToken: number;
}

export function modelCost(config: ModelConfig, variant: AttentionVariant): ModelCost {
  const { layers, heads, headDim } = modelShape(config);
  const own = withAttention(config, variant);
  const constants = new Set(constantSpecs(own).map(({ name }) => name));
  const sizes = storedParameters(own).map(({ name, shape }) => {
    const [outputs, inputs = 1] = shape as [number, number?];
    const isPacked = shape.length === 2 && !/embed_positions|router/.test(name) && !constants.has(name);
    return { name, count: outputs * inputs, outputs, isPacked };
  });
  const bytes = ({ count, outputs, isPacked }: (typeof sizes)[number], type: WeightType) => {
    if (!isPacked || type === 'f32') return 4 * count;
    return type === 'bf16' ? 2 * count : count + 4 * outputs;
  };
  const byType = (of: (type: WeightType) => number) => Object.fromEntries(weightTypes.map((type) => [type, of(type)])) as Record<WeightType, number>;
  const isTied = !sizes.some(({ name }) => name === 'lm_head.weight');
  // Where heads are grouped, a token is multiplied by the keys and values that its expert stores.
  const { grouping } = variant.formats;
  const share = variant.experts && grouping ? kvShare(variant.experts.ratios, grouping.groupSizes) : 1;
  const factors = sizes.reduce((sum, { name, count, isPacked }) => {
    if (!isPacked || (!isTied && name.endsWith('embed_tokens.weight'))) return sum;
    return sum + (/\.[kv]_proj\.weight$/.test(name) ? share * count : count);
  }, 0);
  return {
    parameters: sizes.reduce((sum, { count }) => sum + count, 0),
    weightBytes: byType((type) => sizes.reduce((sum, size) => sum + bytes(size, type), 0)),
    largestBytes: byType((type) => sizes.reduce((most, size) => Math.max(most, bytes(size, type)), 0)),
    flopsPerToken: Math.round(2 * factors),
    flopsPerCachedToken: 4 * layers * heads * headDim,
  };
}

/**
 * Bytes of KV cache a token under a variant, expert index included. Layers whose ratios differ take what their mean takes.
 * @param type element type of keys and values
 * @param positions whether positions and scores of tokens are kept instead of the index, as under a policy
 */
export function kvBytes(shape: Pick<ModelShape, 'layers' | 'kvHeads' | 'headDim'>, variant: AttentionVariant, type: KvType = 'f32', positions = false): number {
  const ratios = variant.experts?.ratios ?? [1];
  const layers = storingLayers(shape.layers, variant).length;
  return kvBytesPerToken({ layers, formats: variant.formats.stored(formatLayout(variant, shape)), ratios, type, positions });
}

/**
 * What each expert of a variant stores of a token in a layer, keys and values together: a single one where nothing is routed.
 * @param type element type of keys and values
 */
export function storedTokens({ kvHeads, headDim }: Pick<ModelShape, 'kvHeads' | 'headDim'>, variant: AttentionVariant, type: KvType = 'f32'): StoredToken[] {
  return variant.formats.stored(formatLayout(variant, { kvHeads, headDim })).map(({ stored }) => ({
    heads: stored.heads, headDim: stored.headDim, bytes: storedBits(stored, type) / 8,
  }));
}

/**
 * What a variant keeps of the unmodified model's keys and values, without an expert index: their numbers, and where a format packs bits of its own the bytes,
 * scales and all.
 */
export function keptShare(shape: Pick<ModelShape, 'layers' | 'kvHeads' | 'headDim'>, variant: AttentionVariant): number {
  const stored = variant.formats.stored(formatLayout(variant, shape)).map((format) => format.stored);
  if (!stored.some(({ packing }) => packing)) return variant.kvShare;
  const ratios = variant.experts?.ratios ?? [1];
  const bits = stored.reduce((sum, each, expert) => sum + ratios[expert]! * storedBits(each, 'f32'), 0);
  const full = storedBits({ heads: 2 * shape.kvHeads, headDim: shape.headDim }, 'f32');
  return (bits * storingLayers(shape.layers, variant).length) / (full * shape.layers);
}

/** What a model keeps of a token under a variant. @param type element type of keys and values */
export function kvTraits(shape: ModelShape, variant: AttentionVariant, type: KvType = 'f32'): Required<Pick<KvTraits, 'type'>> & KvTraits {
  const { experts } = variant;
  const alone = variant.formats.grouping ? shape.kvHeads / variant.storedKvHeads(shape.kvHeads) : 1 / keptShare(shape, variant);
  const { sizes: groupSizes, ratios } = experts ?? { sizes: [alone], ratios: [1] };
  const layerRatios = Array.from({ length: experts ? shape.layers : 0 }, (_, layer) => experts!.ratiosOf(layer));
  return {
    type,
    bytesPerToken: kvBytes(shape, variant, type),
    bytesPerTokenFull: kvBytes(shape, parseAttention('mha'), type),
    budget: keptShare(shape, variant),
    groupSizes,
    ratios,
    ...(layerRatios.some((own) => own !== layerRatios[0]) && { layerRatios }),
  };
}

/** {@link kvBytes} for an example of each kind of variant that fits the model. */
export function kvBytesByVariant(shape: ModelShape): Record<string, number> {
  const fitting = [...knownAttention().values()]
    .map(({ example }) => parseAttention(example))
    .filter((variant) => {
      try {
        variant.validate(shape);
        return true;
      } catch {
        return false;
      }
    });
  return Object.fromEntries(fitting.map((variant) => [variant.spec, kvBytes(shape, variant)]));
}

/** Beside the weights, wasm keeps the keys' and values' projections pooled for each group size: bytes by type. */
export function pooledBytes(config: ModelConfig, { formats: { grouping } }: AttentionVariant, type: WeightType): number {
  const perWeight = { f32: 4, bf16: 2, int8: 1 }[type];
  const weights = familyOf(config)
    .parameters(config, parseAttention('mha'))
    .filter(({ name }) => /\.[kv]_proj\.weight$/.test(name))
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
  const share = (grouping?.groupSizes ?? []).reduce((sum, size) => sum + (size > 1 ? 1 / size : 0), 0);
  return Math.ceil(perWeight * share * weights);
}

function withAttention(config: ModelConfig, { spec }: AttentionVariant): ModelConfig {
  const router = spec === config.mixsga?.attention ? config.mixsga.router : undefined;
  return { ...config, mixsga: { attention: spec, router } };
}

import type { AttentionVariant } from '../attention/variant';

/** The sizes of a model that parameter counts and KV accounting follow from; heads as published. */
export interface ModelShape {
  /** `model_type` of its config.json. */
  readonly family: string;
  /** The attention variant that its config.json names: `mha` when it is as published. */
  readonly attention: string;
  readonly layers: number;
  readonly hiddenSize: number;
  /** Query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabularySize: number;
  /** Tokens. */
  readonly contextLength: number;
  /** Whether the K and V projections have a bias. */
  readonly kvBias: boolean;
  /** Parameters of all but the K and V projections. */
  readonly otherParameters: number;
}

/** Parameters of a model under an attention variant, with a sigmoid router in each layer of one with experts. */
export function countParameters(shape: ModelShape, attention: AttentionVariant): number {
  const { hiddenSize, headDim } = shape;
  const projection = attention.storedKvHeads(shape.kvHeads) * headDim * (hiddenSize + (shape.kvBias ? 1 : 0));
  const routers = attention.experts ? shape.layers * attention.experts.ratios.length * (hiddenSize + 1) : 0;
  return shape.otherParameters + layersWithKv(shape, attention) * 2 * projection + routers;
}

/** Layers that have keys and values of their own. */
export function layersWithKv({ layers }: ModelShape, attention: AttentionVariant): number {
  let count = 0;
  for (let layer = 0; layer < layers; layer++) if (attention.kvSource(layer) === layer) count++;
  return count;
}

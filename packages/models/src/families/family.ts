// What a family of models is made of.
import type { TurnGroup } from '../align/turn';
import type { AttentionVariant } from '../attention/variant';
import type { ModelConfig } from '../config/shape';
import type { Transformer } from '../decoder/transformer';
import type { WeightLoader } from '../decoder/weight-loader';
import type { ParameterSpec } from '../io/parameter-source';
import type { DifferentiableTransformer, Variables } from '../training/transformer';

/** How a parameter of a new model starts: drawn from a normal distribution, or the same everywhere. */
export type Start = 'normal' | 'ones' | 'zeros';

export interface TransformerParameter extends ParameterSpec {
  readonly start: Start;
}

/** Sizes of a model to start anew. */
export interface ModelSizes {
  readonly vocabularySize: number;
  readonly layers: number;
  readonly hiddenSize: number;
  /** Query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffnSize: number;
  /** Longest sequence, in tokens. */
  readonly contextLength: number;
}

/**
 * What norms queries and keys before they rotate, `q_norm` and `k_norm` of a layer's attention: RMS norms of each head by itself, with one gain
 * [headDim] for all heads, or of all heads together, with a gain [heads·headDim].
 */
export type QueryKeyNorm = 'head' | 'all';

/** How the keys and values of a layer come about, for what changes their basis or is fitted to them. */
export interface HeadTraits<Config extends ModelConfig> {
  /** Turns of a head's keys and queries that change no score. */
  readonly keyTurns: TurnGroup;
  /** Name of the norm that a layer's attention reads; null where it reads what no norm has scaled. */
  norm(config: Config, layer: number): string | null;
  /** What gains of norms are more than their stored values. */
  readonly gainOffset: number;
  /** Default: queries and keys stay as they are projected. */
  readonly queryKeyNorm?: QueryKeyNorm;
}

/** A family of models, see {@link registerFamily}. `model_type` of a config.json names it. */
export interface ModelFamily<Config extends ModelConfig = ModelConfig> {
  /** Checks a parsed config.json. @throws FileError naming the field */
  parse(json: unknown, where: string): Config;
  /** The object to write as config.json. */
  toJson(config: Config): Record<string, unknown>;
  /** A config.json, without token ids, of a new model whose head is tied to its embeddings. @throws ArgumentError when the family has no such sizes */
  sized(sizes: ModelSizes): Record<string, unknown>;
  /** What the names of a layer's parameters begin with. */
  layerName(layer: number): string;
  /** Every parameter but those of routers, in the order of the forward pass. */
  parameters(config: Config, attention: AttentionVariant): TransformerParameter[];
  /** The forward pass of generation; reads and packs the weights. */
  load(config: Config, loader: WeightLoader): Promise<Transformer>;
  /** The forward pass of training. */
  trainable(config: Config, variables: Variables): DifferentiableTransformer;
  readonly heads: HeadTraits<Config>;
}

// What a family of models gives, and what it is given.
import type { KvWeights, Rows } from '@mixsga/backend';
import type { AttentionVariant } from '../attention/variant';
import type { ShapedConfig } from '../config/shape';
import type { DifferentiableTransformer, Variables } from '../training/transformer';
import type { WeightLoader } from './weight-loader';

export interface ParameterSpec {
  /** Name as in Hugging Face checkpoints. */
  readonly name: string;
  readonly shape: number[];
}

/** How a parameter of a new model starts: drawn from a normal distribution, or the same everywhere. */
export type Start = 'normal' | 'ones' | 'zeros';

export interface TransformerParameter extends ParameterSpec {
  readonly start: Start;
}

/** A family of models. A new one is a folder and a line in families.ts. */
export interface ModelFamily<Config extends ShapedConfig> {
  /** Checks a parsed config.json. @throws FileError naming the field */
  parse(json: unknown, where: string): Config;
  /** The object to write as config.json. */
  toJson(config: Config): Record<string, unknown>;
  /** What the names of a layer's parameters begin with. */
  layerName(layer: number): string;
  /** Every parameter but those of routers, in the order of the forward pass. */
  parameters(config: Config, attention: AttentionVariant): TransformerParameter[];
  /** The forward pass of generation; reads and packs the weights. */
  load(config: Config, loader: WeightLoader): Promise<Transformer>;
  /** The forward pass of training. */
  trainable(config: Config, variables: Variables): DifferentiableTransformer;
}

/** Buffers of activations [tokens, width] of a pass: those of every model, and those that its family asks for. */
export type Activations<Own extends string = never> = Readonly<Record<'x' | 'q' | 'attended' | Own, Rows>>;

/** A model's forward pass in pieces, on weights that a runtime holds. Each works on the first `rows` rows. */
export interface Transformer<Own extends string = never> {
  /** Widths of the family's own buffers. */
  readonly buffers: Readonly<Record<Own, number>>;
  /** Factor of the attention scores. */
  readonly scale: number;
  /** Scores s become softCap·tanh(s / softCap). */
  readonly softCap?: number;
  /** Radians from one position to the next for each pair of a head: float32 [headDim/2]. Without them q and k don't rotate. */
  readonly frequencies?: Float32Array;
  /** Tokens that a query of a layer sees at most; null: all. */
  window(layer: number): number | null;
  /** By layer; null where another layer's keys and values are read. */
  readonly kv: readonly (KvWeights | null)[];

  /** Token ids at positions, to x. */
  embed(tokens: Int32Array, positions: Int32Array, a: Activations<Own>): void;
  /** Projects q. @returns what keys, values and the router of the layer are computed from */
  startLayer(layer: number, a: Activations<Own>, rows: number): Rows;
  /** From what attention gave, `attended`, to the next layer's x. */
  finishLayer(layer: number, a: Activations<Own>, rows: number): void;
  /** From the last layer's x to [rows, vocabulary]. */
  logits(a: Activations<Own>, logits: Rows, rows: number): void;
}

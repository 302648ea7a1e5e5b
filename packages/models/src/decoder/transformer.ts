// What a family of models gives to generation.
import type { KvWeights, Rows } from '@mixsga/backend';

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
  /**
   * Radians from one position to the next for each pair of a head in a layer: float32 [headDim/2], the same array for layers that rotate
   * alike. Without them q and k don't rotate.
   */
  frequencies?(layer: number): Float32Array;
  /** Tokens that a query of a layer sees at most; null: all. */
  window(layer: number): number | null;
  /** By layer; null where another layer's keys and values are read. */
  readonly projections: readonly (KvWeights | null)[];

  /** Token ids at positions, to x. */
  embed(tokens: Int32Array, positions: Int32Array, a: Activations<Own>): void;
  /** Projects q, up to its rotation. @returns what keys, values and the router of the layer are computed from */
  startLayer(layer: number, a: Activations<Own>, rows: number): Rows;
  /**
   * Norms the projected keys of all KV heads in place, before they rotate and are grouped, in layers that have keys of their own.
   * Default: they stay as they are.
   */
  normKeys?(layer: number, k: Rows, rows: number): void;
  /** From what attention gave, `attended`, to the next layer's x, a matrix or two at a time: others may have their turn in between. */
  finishLayer(layer: number, a: Activations<Own>, rows: number): Generator<void>;
  /** From the last layer's x to [rows, vocabulary]. */
  logits(a: Activations<Own>, logits: Rows, rows: number): void;
}

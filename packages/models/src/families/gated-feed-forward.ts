// The gated feed-forward of Llama and the families after it (Shazeer 2020): down(activation(gate(x)) · up(x)).
import { gatedActivation, type GateActivation, type LinearWeights, type Rows, type VectorRuntime } from '@mixsga/backend';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { WeightLoader } from '../decoder/weight-loader';
import type { Variables } from '../training/transformer';

/** Matrices of a layer's feed-forward, packed. */
export type FeedForward = Readonly<Record<'gate' | 'up' | 'down', LinearWeights>>;

/** @param at name of the layer */
export async function loadFeedForward(loader: WeightLoader, at: string): Promise<FeedForward> {
  return {
    gate: await loader.linear(`${at}.mlp.gate_proj`),
    up: await loader.linear(`${at}.mlp.up_proj`),
    down: await loader.linear(`${at}.mlp.down_proj`),
  };
}

export interface FeedForwardOptions {
  readonly runtime: VectorRuntime;
  readonly activation: GateActivation;
  /** To work in, as wide as the feed-forward. */
  readonly buffers: Readonly<Record<'inner' | 'up', Rows>>;
  /** Added to the result; may be the output. */
  readonly residual?: Rows;
}

/** For generation: from the first rows of x to those of `out`, a matrix at a time. */
export function* feedForward({ gate, up, down }: FeedForward, x: Rows, out: Rows, rows: number, options: FeedForwardOptions): Generator<void> {
  const { runtime, activation, buffers, residual } = options;
  runtime.apply(gate, x, buffers.inner, rows, { activation });
  yield;
  runtime.apply(up, x, buffers.up, rows);
  runtime.multiply(buffers.inner, buffers.up, rows);
  yield;
  runtime.apply(down, buffers.inner, out, rows, residual ? { residual } : {});
}

/** For training: [B·T, D] to [B·T, D]. @param at name of the layer */
export function trainableFeedForward(variables: Variables, at: string, x: Tensor2D, activation: GateActivation): Tensor2D {
  const gate = variables.linear(`${at}.mlp.gate_proj`, x);
  return variables.linear(`${at}.mlp.down_proj`, gatedActivation(gate, variables.linear(`${at}.mlp.up_proj`, x), activation));
}

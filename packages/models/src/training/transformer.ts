// What a family of models gives to training, and what it is given.
import { layerNorm, linear, rmsNorm, type Activation } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import { expectListed } from '../io/parameter-source';

/** A model's forward pass in pieces, differentiable in its variables. Rows are tokens: row b·T + t is token t of sequence b. */
export interface DifferentiableTransformer {
  /** Factor of the attention scores. */
  readonly scale: number;
  /** Scores s become softCap·tanh(s / softCap). */
  readonly softCap?: number;
  /** Radians from one position to the next for each pair of a head in a layer: float32 [headDim/2]. Without them q and k don't rotate. */
  frequencies?(layer: number): Float32Array;
  /** Tokens that a query of a layer sees at most; null: all. */
  window(layer: number): number | null;

  /** Token ids [B, T] to the first layer's x [B·T, D]. */
  embed(ids: Tensor2D): Tensor2D;
  /** What queries, keys, values and the router of a layer are computed from: [B·T, D]. */
  startLayer(layer: number, x: Tensor2D): Tensor2D;
  /** What is done to projected queries [B·T, H·d] before they rotate, such as a norm. Default: nothing. */
  queries?(layer: number, q: Tensor2D): Tensor2D;
  /** The same for keys [B·T, K·d], in layers that have keys of their own. */
  keys?(layer: number, k: Tensor2D): Tensor2D;
  /** From x and what attention gave, [B·T, H·d], to the next layer's x. */
  finishLayer(layer: number, x: Tensor2D, attended: Tensor2D): Tensor2D;
  /** From the last layer's x to what the head multiplies: [B·T, its inputs]. */
  lastHidden(x: Tensor2D): Tensor2D;
  /** Name of the head's matrix [V, inputs]. */
  readonly head: string;
  /** Logits s become logitCap·tanh(s / logitCap). */
  readonly logitCap?: number;
}

/** RMSNorm of each part of a row by itself, such as each head: x [rows, parts·size], gain [size]. */
export function rmsNormOfParts(x: Tensor2D, gain: Tensor1D, epsilon: number): Tensor2D {
  return tf.reshape(rmsNorm(tf.reshape(x, [-1, gain.size]), gain, epsilon), x.shape);
}

/** A model's variables by name, and the layers that are made of them. Names of layers are without `.weight` and `.bias`. */
export class Variables {
  constructor(private readonly variables: ReadonlyMap<string, Variable>) {}

  matrix(name: string): Tensor2D {
    return this.#weight(name) as unknown as Tensor2D;
  }

  vector(name: string): Tensor1D {
    return this.#weight(name) as unknown as Tensor1D;
  }

  /** activation(x·weightᵀ + bias), with the bias where there is one. */
  linear(name: string, x: Tensor2D, activation?: Activation): Tensor2D {
    return linear(x, this.matrix(name), this.#bias(name), activation);
  }

  layerNorm(name: string, x: Tensor2D): Tensor2D {
    return layerNorm(x, this.vector(name), expectListed(`${name}.bias`, this.#bias(name)));
  }

  #weight(name: string): Variable {
    return expectListed(`${name}.weight`, this.variables.get(`${name}.weight`));
  }

  #bias(name: string): Tensor1D | null {
    return (this.variables.get(`${name}.bias`) ?? null) as Tensor1D | null;
  }
}

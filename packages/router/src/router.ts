import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import type { Scalar, Tensor2D, Tensor3D, Variable } from '@tensorflow/tfjs-core';

/**
 * Chooses an expert for each token of one layer (paper section 3.2). Every decision stays on the device.
 * B sequences of T tokens, hidden size D, E experts, the most expensive (smallest group size) first.
 */
export interface Router {
  /** E */
  readonly experts: number;
  /**
   * Whether {@link assign} decides as {@link decode} does, each token by its own scores, so that prefill and training route as
   * decoding by construction.
   */
  readonly causal: boolean;
  /** What an optimizer trains and a checkpoint stores, by name; empty when nothing is learned. */
  readonly trainable: Readonly<Record<string, Variable>>;
  /** What a checkpoint stores besides: variables that are not `trainable`, which {@link balance} alone changes. */
  readonly buffers: Readonly<Record<string, Variable>>;

  /**
   * Given where {@link decode} of {@link score} is the arg max of sigmoid(x·weightᵀ + bias), ties to the lower expert: weight
   * [E, D] and bias [E], in use. Inference may then decide by kernels of its own.
   */
  readonly linear?: { readonly weight: Variable; readonly bias: Variable };

  /**
   * Given where {@link score} reads, instead of hidden states, what storing a token would lose: float32 [B, T, 2·(E + 1)], ‖k‖² of
   * the layer's keys, then ‖k − k̂‖² with what each expert gives back of them, and the same of the values. {@link decode} is then the arg
   * max of d(E − 1) − d(e) + bias(e), ties to the lower expert, where d(e) = ‖k − k̂‖² / energy(0) + ‖v − v̂‖² / energy(1): energy [2] and
   * bias [E], in use. Inference may then decide by kernels of its own.
   */
  readonly distortion?: { readonly energy: Variable; readonly bias: Variable };

  /**
   * One score for each token and expert, from that token alone.
   * @param x float32 [B, T, D], the input of the layer's K and V projections, or what {@link distortion} says
   * @returns float32 [B, T, E]
   */
  score(x: Tensor3D): Tensor3D;

  /**
   * The experts in prefill and training. Of a router that is not {@link causal}: progressive expert choice at exactly the capacity
   * ratios, in each sequence alone, where later tokens influence an earlier token's expert.
   * @param mask int32 or bool [B, T], 0 for padding, which takes no capacity; all tokens are real when left out
   * @returns int32 [B, T], −1 for padding; no gradient
   */
  assign(scores: Tensor3D, mask?: Tensor2D): Tensor2D;

  /**
   * The experts in decoding, each token by its own scores.
   * @returns int32 [B, T]; no gradient
   */
  decode(scores: Tensor3D): Tensor2D;

  /**
   * What {@link trainable} learns from: the distance of the scores from the assigned experts, averaged over the
   * tokens whose assignment is not −1 (and whose mask is not 0).
   * @returns float32 scalar, differentiable in the scores; constant 0 when nothing is learned
   */
  loss(scores: Tensor3D, assignment: Tensor2D, mask?: Tensor2D): Scalar;

  /**
   * Given where the capacity ratios are held by feedback, without a gradient: moves {@link buffers} by `rate` of the way to where
   * some tokens would be routed exactly at the ratios. A trainer calls it after each optimizer step.
   * @param seen row-major, of the real tokens of a whole step: the scores [tokens, E], or where there is {@link distortion} what they come
   * from [tokens, 2·(E + 1)]
   * @param rate above 0, up to 1
   * Rejects with an ArgumentError when there is no token, a number is not finite, or the rate is out of range
   */
  balance?(seen: Float32Array, rate: number): Promise<void>;

  /** Frees the variables and tensors that the router owns. */
  dispose(): void;
}

export interface RouterOptions {
  /** D */
  readonly hiddenSize: number;
  /** Capacity ratios of the experts, of sum 1. */
  readonly ratios: readonly number[];
  /** The same seed and layer give the same router on every machine. */
  readonly seed: number;
  /** Index of the layer: routers of different layers draw different numbers from one seed. */
  readonly layer: number;
  /** Values of everything that it stores instead of those that it starts with, by name, row-major, copied. */
  readonly weights?: Readonly<Record<string, Float32Array>>;
}

/** Makes a router; pass one of your own to {@link createRouter} to use it without registering anything. */
export interface RouterFactory {
  (options: RouterOptions): Router;
  /** What its choice is based on, as in "chooses by …", for tables and reports. */
  readonly description?: string;
  /** Shapes of what it stores in a checkpoint, by name. Default: `weight` [E, D] and `bias` [E]. */
  readonly parameters?: (sizes: RouterSizes) => Readonly<Record<string, number[]>>;
}

export interface RouterSizes {
  /** D */
  readonly hiddenSize: number;
  /** E */
  readonly experts: number;
}

const OPTIONS: OptionNames<RouterOptions> = { hiddenSize: true, ratios: true, seed: true, layer: true, weights: true };

/**
 * Checks the options that every router shares.
 * @throws ArgumentError when there is no option of a name, the hidden size is no count, or the ratios are not numbers of 0 or more with sum 1
 */
export function validateRouterOptions(options: RouterOptions): void {
  expectOptions('createRouter', options, OPTIONS);
  const { hiddenSize, ratios } = options;
  if (!Number.isInteger(hiddenSize) || hiddenSize < 1) {
    throw new ArgumentError(`createRouter: expected hiddenSize to be a whole number from 1, got ${hiddenSize}`);
  }
  const sum = ratios.reduce((a, b) => a + b, 0);
  if (ratios.some((ratio) => !(ratio >= 0)) || !(Math.abs(sum - 1) < 1e-6)) {
    throw new ArgumentError(
      `createRouter: expected ratios of 0 or more with sum 1, got ${ratios.join(':') || 'none'}; divide them by their sum`,
    );
  }
}

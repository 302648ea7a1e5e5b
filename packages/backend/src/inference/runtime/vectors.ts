// Weights that are packed once, and activations in buffers that stay: what the families of models are made of.
import type { Tensor3D } from '@tensorflow/tfjs-core';

/** Element types of packed weights. Sums are float32 whatever the type. */
export const weightTypes = ['f32', 'bf16', 'int8'] as const;
export type WeightType = (typeof weightTypes)[number];

/** A buffer on the backend. It belongs to who made it. */
export interface Resident {
  /** Bytes of its buffers. */
  readonly bytes: number;
  dispose(): void;
}

/** A matrix [outputs, inputs] with a bias [outputs], packed to be read once per token. */
export interface LinearWeights extends Resident {
  readonly outputs: number;
  readonly inputs: number;
  readonly type: WeightType;
}

/** float32 [size], such as a norm's gain. */
export interface Vector extends Resident {
  readonly size: number;
}

/** float32 [capacity, width]: activations of up to `capacity` tokens. An operation works on its first `rows` rows. */
export interface Rows extends Resident {
  readonly capacity: number;
  readonly width: number;
}

/** float32 [outputs, inputs] with its bias, row-major, as checkpoints have it. */
export interface DenseLayer {
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
  readonly outputs: number;
  readonly inputs: number;
}

/** `silu`: x·sigmoid(x). `gelu`: x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2, the tanh form. */
export type Activation = 'relu' | 'silu' | 'gelu';

export interface ApplyOptions {
  readonly activation?: Activation;
  /** Added to the result last; without an activation it may be the output itself. */
  readonly residual?: Rows;
}

export interface RmsNormOptions {
  readonly epsilon: number;
  /** Added to the result; may be the output itself. */
  readonly residual?: Rows;
}

/** What a step gives to the host, in one read. */
export interface StepResult {
  /**
   * int32 [rows]: the arg max of each row, ties to the lower index; −1 for a row with NaN or +∞, or of −∞ alone, as
   * `likelihood` has it. With `want: 'argMax'`.
   */
  readonly argMax: Int32Array | null;
  /** float32 [rows, width], valid until the next operation; with `want: 'values'`. */
  readonly values: Float32Array | null;
}

/** What `likelihood` gives to the host, for each row. */
export interface RowLikelihood {
  /** −log softmax(logits)[target] in nats. */
  readonly nll: Float32Array;
  /** 1 where the target is the arg max of the row, ties to the lower index; else 0. */
  readonly greedy: Uint8Array;
}

/** Work given to a device since the runtime was made, for reports. */
export interface DeviceWork {
  /** Compute dispatches; null where there is no device. */
  readonly dispatches: number | null;
  /** Reads from the device. */
  readonly reads: number;
}

/** `rows` counts the tokens that an operation works on; outputs never alias inputs unless said. */
export interface VectorRuntime {
  /** `fused`: kernels of this package. `reference`: stock operations, with keys and values on the host. */
  readonly path: 'fused' | 'reference';
  readonly work: DeviceWork;
  /**
   * Multiply-adds of a piece of a long pass, some tens of milliseconds: between two pieces others can have their turn, for the sake of
   * Ctrl-C and progress. The same on every machine, since results may depend on it by rounding.
   */
  readonly workAtOnce: number;

  // What stays for the life of a model. @throws BackendError when there is no memory for it.

  packLinear(layer: DenseLayer, type: WeightType): LinearWeights;
  vector(values: Float32Array): Vector;
  rows(capacity: number, width: number): Rows;

  /** out[r] = row ids[r] of the matrix, as the packed type has it. */
  embed(table: LinearWeights, ids: Int32Array, out: Rows): void;
  /** x[r] += row ids[r] of the matrix. */
  addEmbedding(table: LinearWeights, ids: Int32Array, x: Rows): void;
  layerNorm(x: Rows, gain: Vector, bias: Vector, out: Rows, rows: number): void;
  /**
   * out[r] = x[r] / √(mean of x[r]² + epsilon) · gain + residual[r]. A gain that is shorter than a row is for parts of its size, such
   * as heads, each of which is normalised by itself.
   * @param out may be x
   */
  rmsNorm(x: Rows, gain: Vector, out: Rows, rows: number, options: RmsNormOptions): void;
  /** out = activation(x · weightᵀ + bias) + residual */
  apply(weights: LinearWeights, x: Rows, out: Rows, rows: number, options?: ApplyOptions): void;
  /** x *= by, element by element. */
  multiply(x: Rows, by: Rows, rows: number): void;
  /** x *= factor */
  scale(x: Rows, factor: number, rows: number): void;
  /** x = cap·tanh(x / cap) */
  softCap(x: Rows, cap: number, rows: number): void;
  /** The first rows of `out` become `values`, row-major. */
  write(values: Float32Array, out: Rows): void;
  /**
   * Turns each head of x[r] by the angles of its row: (a, b), its halves, become (a·cos − b·sin, b·cos + a·sin).
   * @param angles [rows, headDim]: the cosines of headDim/2 angles, then their sines
   */
  rotate(x: Rows, angles: Rows, rows: number): void;
  /** to[at..at + rows] = from[first..first + rows]; `at` is 0 by default. */
  copyRows(from: Rows, first: number, rows: number, to: Rows, at?: number): void;
  /** A tensor [1, rows, width] of the first rows, for a router; the caller disposes it. */
  tensor(x: Rows, rows: number): Tensor3D;

  /** Waits until the device, where there is one, has done what it was given. */
  settled(): Promise<void>;
  /** Waits for the step and reads what is asked for in one go; every route since the last read knows its expert then. */
  read(x: Rows, rows: number, want: 'argMax' | 'values'): Promise<StepResult>;
  /**
   * How likely some tokens are by the first rows of logits, in one read, after which no route knows more. A logit of −∞ is a probability of
   * 0; a row with NaN or +∞, or of −∞ alone, has an nll of NaN.
   * @param targets of the vocabulary, one for each row
   */
  likelihood(logits: Rows, targets: Int32Array): Promise<RowLikelihood>;
}

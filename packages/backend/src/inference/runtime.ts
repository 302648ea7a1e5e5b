// What inference needs of a backend: weights packed once, activations in buffers that stay, and keys and values in pages
// that are written in place. One implementation for each way of computing; `createRuntime` picks that of the active backend.
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { OptionNames } from '../options';
import type { KvType, Packing } from './kv-type';
import type { PageStore, Pooling, Segment, Slot } from './pages';

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

/** How experts group the heads of keys and values. */
export interface Grouping {
  readonly headDim: number;
  /** Group size of each expert, a divisor of the KV heads; [1] where a layer does not route. */
  readonly groupSizes: readonly number[];
  readonly pooling: Pooling;
}

/** A router's matrix [experts, D] and bias, in float32. */
export interface RouterWeights extends Resident {
  readonly experts: number;
}

/** The key and value projections of a layer, ready for each of its experts. */
export interface KvWeights extends Resident, Grouping {
  readonly kvHeads: number;
}

/** A layer whose keys and values are read back from latents c: of a KV head as k·c and v·c + offset. */
export interface LatentLayer {
  /** From what the layer reads to a latent, of as many outputs as the longest latent has numbers; shorter ones are the first of these. */
  readonly latent: DenseLayer;
  /** [kvHeads·headDim, rank], but for a part that is the same for all tokens, which a softmax does not see. */
  readonly k: Float32Array;
  /** [kvHeads·headDim, rank] */
  readonly v: Float32Array;
  /** [kvHeads·headDim] */
  readonly offset: Float32Array;
  readonly kvHeads: number;
}

/** A {@link LatentLayer}, ready for single tokens. */
export interface LatentWeights extends Resident {
  /** Numbers of the longest latent. */
  readonly rank: number;
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

export interface KvLayer {
  /** [kvHeads·headDim, inputs] */
  readonly k: DenseLayer;
  /** [kvHeads·headDim, inputs] */
  readonly v: DenseLayer;
  readonly kvHeads: number;
  readonly groupSizes: readonly number[];
  readonly pooling: Pooling;
}

/** How a layer's router decides for single tokens. A layer without routing has none. */
export interface TokenRouter {
  /**
   * Given where the decision is the arg max of sigmoid(x·weightᵀ + bias), ties to the lower expert, and the runtime has kernels for
   * that: made by {@link InferenceRuntime.packRouter}.
   */
  readonly linear: RouterWeights | null;
  /** The decision of any router: float32 [1, 1, D] to int32 [1, 1]. */
  decode(x: Tensor3D): Tensor2D;
}

/**
 * The expert of the token that a step computes. Where decisions stay on the device (WebGPU), `expert` is null until
 * {@link InferenceRuntime.read} has resolved.
 */
export interface Route {
  readonly expert: number | null;
}

/** What the step of one token sees of the cache of one layer. */
export interface LayerView {
  /** What is cached, one segment for each expert, and perhaps more of tokens that were coarsened since. */
  readonly segments: readonly Segment[];
  /** Where the token will be stored: a free slot for each expert, of which its own one is taken. */
  readonly slots: readonly Slot[];
}

export interface AttendOptions {
  /** Query heads. */
  readonly heads: number;
  /** Factor of the scores, usually headDim^-0.5. */
  readonly scale: number;
  /** Scores s become softCap·tanh(s / softCap). Default: they stay as they are. */
  readonly softCap?: number;
  /**
   * Takes for each segment in order the attention probabilities of its tokens in slot order, summed over the query heads;
   * the token that is being computed comes last in the segment of its expert; what a segment's `from` hides has 0. The array
   * is valid during the call only, which may come as late as {@link InferenceRuntime.read}.
   */
  readonly onProbabilities?: (segment: number, probabilities: Float32Array) => void;
}

export interface CausalOptions {
  /** Query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly scale: number;
  /** Scores s become softCap·tanh(s / softCap). Default: they stay as they are. */
  readonly softCap?: number;
  /** Tokens that a query sees at most: itself and those before it. Default: all. */
  readonly window?: number;
  /** Tokens of k and v, of which the queries are the last. Default: as many as there are queries. */
  readonly keys?: number;
  /** The KV heads whose query heads are computed, from `first` up to before `end`; what `out` has of the others stays. Default: all. */
  readonly kvRange?: { readonly first: number; readonly end: number };
  /** [keys, 1]: the attention probability that each token gets, summed over these queries and query heads, is added to it. */
  readonly received?: Rows;
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

/** Rows of projected keys and values that go to one segment of the cache. */
export interface StorePlan {
  readonly segment: Segment;
  /** Query heads that share a stored head. */
  readonly groupSize: number;
  /** The first slot to write; `segment.tokens` does not matter. */
  readonly firstSlot: number;
  /** Row numbers, in slot order. */
  readonly rows: Int32Array;
}

/** What pages are made for. */
export interface PageFormat {
  /** Stored KV heads. */
  readonly heads: number;
  /** Heads of the values, where they are not as many: 0 where keys and values are stored together. That is for pages of the host and for latents. */
  readonly valueHeads?: number;
  readonly headDim: number;
  /** Query heads that attend to them, which the layout may suit; others may be refused. Default: as many as `heads`. */
  readonly queryHeads?: number;
  /** Element type of keys and values. Default f32. */
  readonly type?: KvType;
  /** How a token is packed, instead of by the element type; for pages of the host without value heads. */
  readonly packing?: Packing;
}

export const PAGE_FORMAT: OptionNames<PageFormat> = {
  heads: true, valueHeads: true, headDim: true, queryHeads: true, type: true, packing: true,
};

/** What a step gives to the host, in one read. */
export interface StepResult {
  /** The expert of each of the step's routes, in the order of the calls of `route` since the last read. */
  readonly experts: Int32Array;
  /**
   * int32 [rows]: the arg max of each row, ties to the lower index; −1 for a row with NaN or +∞, or of −∞ alone, as
   * {@link InferenceRuntime.likelihood} has it. With `want: 'argMax'`.
   */
  readonly argMax: Int32Array | null;
  /** float32 [rows, width], valid until the next operation; with `want: 'values'`. */
  readonly values: Float32Array | null;
}

/** What {@link InferenceRuntime.likelihood} gives to the host, for each row. */
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

/** Single tokens whose keys and values are latents, in pages of one head of keys and none of values. */
export interface LatentKernels {
  /** @throws BackendError when there is no memory for it */
  pack(layer: LatentLayer, type: WeightType): LatentWeights;
  /** Computes a token's latent and writes it, or as many of its numbers as its expert's pages take, to the expert's slot. */
  store(weights: LatentWeights, x: Rows, row: number, route: Route, view: LayerView): void;
  /** As `attend` of the runtime. Segments may have latents of different lengths. */
  attend(weights: LatentWeights, q: Rows, row: number, view: LayerView, route: Route, out: Rows, options: Omit<AttendOptions, 'softCap'>): void;
}

export interface InferenceRuntime {
  /** `fused`: kernels of this package. `reference`: stock operations, with keys and values on the host. */
  readonly path: 'fused' | 'reference';
  readonly work: DeviceWork;
  /** Where the runtime has kernels for latents; then its {@link pages} can hold them. */
  readonly latents?: LatentKernels;
  /**
   * Multiply-adds of a piece of a long pass, some tens of milliseconds: between two pieces others can have their turn, for the sake of
   * Ctrl-C and progress. The same on every machine, since results may depend on it by rounding.
   */
  readonly workAtOnce: number;

  // What stays for the life of a model. @throws BackendError when there is no memory for it.

  packLinear(layer: DenseLayer, type: WeightType): LinearWeights;
  packKv(layer: KvLayer, type: WeightType): KvWeights;
  /** Null where the runtime decides by {@link TokenRouter.decode} all the same. */
  packRouter(layer: DenseLayer): RouterWeights | null;
  vector(values: Float32Array): Vector;
  rows(capacity: number, width: number): Rows;
  pages(format: PageFormat): PageStore;

  // Activations. `rows` counts the tokens; outputs never alias inputs unless said.

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

  // A token of a sequence in decode: row `row` of a batch.

  /** The expert of a token; without a router expert 0. */
  route(router: TokenRouter | null, x: Rows, row: number): Route;
  /**
   * Projects a token's keys and values under its expert and writes them to the expert's slot.
   * @param angles for {@link rotate}: row `row` of them turns the keys first
   */
  store(weights: KvWeights, x: Rows, row: number, route: Route, view: LayerView, angles?: Rows): void;
  /** The same of keys and values that are projected, and turned, already: row `row` of each becomes what its expert keeps of it. */
  storeProjected(grouping: Grouping, k: Rows, v: Rows, row: number, route: Route, view: LayerView): void;
  /** out[row] = attention of q[row] over what the view has cached and, unless `route` is null, over the token just stored. */
  attend(q: Rows, row: number, view: LayerView, route: Route | null, out: Rows, options: AttendOptions): void;

  // A whole prompt.

  /** k, v [rows, kvHeads·headDim] */
  project(weights: KvWeights, x: Rows, k: Rows, v: Rows, rows: number): void;
  /** Every run of heads of the token's expert becomes its mean (see {@link Pooling}) in place. */
  group(grouping: Grouping, k: Rows, v: Rows, experts: Int32Array): void;
  /** Each head of the first rows becomes what pages of int8 give back of it, in place. */
  roundToInt8(x: Rows, rows: number, headDim: number): void;
  /**
   * What each expert would lose of each row: ‖k‖², then ‖k − k̂‖² with what the expert gives back of it, one number for each of E experts,
   * and the same of v.
   * @param out [rows, 2·(E + 1)]
   */
  distortions(grouping: Grouping, k: Rows, v: Rows, out: Rows, rows: number): void;
  /** @param q, out [rows, heads·headDim] @param k, v [keys, kvHeads·headDim] */
  causalAttention(q: Rows, k: Rows, v: Rows, out: Rows, rows: number, options: CausalOptions): void;
  /** Writes grouped keys and values to the cache. */
  storeRows(k: Rows, v: Rows, plans: readonly StorePlan[]): void;
  /** A tensor [1, rows, width] of the first rows, for a router; the caller disposes it. */
  tensor(x: Rows, rows: number): Tensor3D;
  /** to[at..at + rows] = from[first..first + rows]; `at` is 0 by default. */
  copyRows(from: Rows, first: number, rows: number, to: Rows, at?: number): void;
  /** Waits until the device, where there is one, has done what it was given. */
  settled(): Promise<void>;

  /** Waits for the step and reads what is asked for, with every route since the last read, in one go. */
  read(x: Rows, rows: number, want: 'argMax' | 'values'): Promise<StepResult>;
  /**
   * How likely some tokens are by the first rows of logits, in one read, which tells no route. A logit of −∞ is a probability of
   * 0; a row with NaN or +∞, or of −∞ alone, has an nll of NaN.
   * @param targets of the vocabulary, one for each row
   */
  likelihood(logits: Rows, targets: Int32Array): Promise<RowLikelihood>;
}

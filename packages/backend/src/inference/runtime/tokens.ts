// Single tokens, in decode: their experts, what is stored of them in pages that are written in place, and attention to what is cached.
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { OptionNames } from '../../options';
import type { KvType, Packing } from '../kv-type';
import type { PageStore, Segment, Slot } from '../pages';
import type { Pooling } from '../pooling';
import type { DenseLayer, Resident, Rows, WeightType } from './vectors';

/** How experts group the heads of keys and values. */
export interface Grouping {
  readonly headDim: number;
  /** Group size of each expert, a divisor of the KV heads; [1] where a layer does not route. */
  readonly groupSizes: readonly number[];
  readonly pooling: Pooling;
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

/** The key and value projections of a layer, ready for each of its experts. */
export interface KvWeights extends Resident, Grouping {
  readonly kvHeads: number;
}

/** A router's matrix [experts, D] and bias, in float32. */
export interface RouterWeights extends Resident {
  readonly experts: number;
}

/** How a layer's router decides for single tokens. A layer without routing has none. */
export interface TokenRouter {
  /**
   * Given where the decision is the arg max of sigmoid(x·weightᵀ + bias), ties to the lower expert, and the runtime has kernels for
   * that: made by `packRouter`.
   */
  readonly linear: RouterWeights | null;
  /** The decision of any router: float32 [1, 1, D] to int32 [1, 1]. */
  decode(x: Tensor3D): Tensor2D;
}

/**
 * The expert of the token that a step computes. Where decisions stay on the device (WebGPU), `expert` is null until
 * `read` has resolved.
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
   * is valid during the call only, which may come as late as `read`.
   */
  readonly onProbabilities?: (segment: number, probabilities: Float32Array) => void;
}

/** What pages are made for. */
export interface PageFormat {
  /** Stored heads of the keys, and as many of the values; of joint pages all vectors. */
  readonly heads: number;
  /** Whether keys and values are in the same vectors. That is for pages of the host and for latents. Default false. */
  readonly joint?: boolean;
  readonly headDim: number;
  /** Query heads that attend to them, which the layout may suit; others may be refused. Default: as many as `heads`. */
  readonly queryHeads?: number;
  /** Element type of keys and values. Default f32. */
  readonly type?: KvType;
  /** How a token is packed, instead of by the element type; for joint pages of the host. */
  readonly packing?: Packing;
}

export const PAGE_FORMAT: OptionNames<PageFormat> = {
  heads: true, joint: true, headDim: true, queryHeads: true, type: true, packing: true,
};

/** Rows of projected keys and values that go to one segment of the cache. */
export interface StorePlan {
  readonly segment: Segment;
  /** The first slot to write; `segment.tokens` does not matter. */
  readonly firstSlot: number;
  /** Row numbers, in slot order. */
  readonly rows: Int32Array;
}

/** Groups of heads: what formats of a `GroupedKernel` are computed by. */
export interface GroupedKernels {
  // A token of a sequence: row `row` of a batch.

  /**
   * Projects a token's keys and values under its expert and writes them to the expert's slot.
   * @param angles for `rotate`: row `row` of them turns the keys first
   */
  store(weights: KvWeights, x: Rows, row: number, route: Route, view: LayerView, angles?: Rows): void;
  /** The same of keys and values that are projected, and turned, already: row `row` of each becomes what its expert keeps of it. */
  storeProjected(grouping: Grouping, k: Rows, v: Rows, row: number, route: Route, view: LayerView): void;
  /** out[row] = attention of q[row] over what the view has cached and, unless `route` is null, over the token just stored. */
  attend(q: Rows, row: number, view: LayerView, route: Route | null, out: Rows, options: AttendOptions): void;

  // Some rows of a prompt.

  /** Every run of heads of the token's expert becomes its mean (see `Pooling`) in place. */
  group(grouping: Grouping, k: Rows, v: Rows, experts: Int32Array): void;
  /**
   * What each expert would lose of each row: ‖k‖², then ‖k − k̂‖² with what the expert gives back of it, one number for each of E experts,
   * and the same of v.
   * @param out [rows, 2·(E + 1)]
   */
  distortions(grouping: Grouping, k: Rows, v: Rows, out: Rows, rows: number): void;
  /** Writes grouped keys and values to the cache. */
  storeRows(k: Rows, v: Rows, plans: readonly StorePlan[]): void;
}

/** A layer whose keys and values are read back from latents c: of a KV head as k·c and v·c + offset. */
export interface LatentLayer {
  /** From what the layer reads to a latent, of as many outputs as the longest latent has dimensions; shorter ones are the first of these. */
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
  /** Dimensions of the longest latent. */
  readonly rank: number;
}

/** Single tokens whose keys and values are latents, in joint pages of one vector. */
export interface LatentKernels {
  /** @throws BackendError when there is no memory for it */
  pack(layer: LatentLayer, type: WeightType): LatentWeights;
  /** Computes a token's latent and writes it, or as many of its dimensions as its expert's pages take, to the expert's slot. */
  store(weights: LatentWeights, x: Rows, row: number, route: Route, view: LayerView): void;
  /** As {@link GroupedKernels.attend}. Segments may have latents of different lengths. */
  attend(weights: LatentWeights, q: Rows, row: number, view: LayerView, route: Route, out: Rows, options: Omit<AttendOptions, 'softCap'>): void;
}

/** A token of a sequence is row `row` of a batch. */
export interface TokenRuntime {
  readonly grouped: GroupedKernels;
  /** Where the runtime has kernels for latents; then its {@link pages} can hold them. */
  readonly latents?: LatentKernels;

  // What stays for the life of a model. @throws BackendError when there is no memory for it.

  packKv(layer: KvLayer, type: WeightType): KvWeights;
  /** Null where the runtime decides by {@link TokenRouter.decode} all the same. */
  packRouter(layer: DenseLayer): RouterWeights | null;
  pages(format: PageFormat): PageStore;

  /** The expert of a token; without a router expert 0. */
  route(router: TokenRouter | null, x: Rows, row: number): Route;
}

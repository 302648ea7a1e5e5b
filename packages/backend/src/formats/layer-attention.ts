// What a layer of a decoder asks of its keys and values, whatever is stored of them.
import type {
  AttendOptions, InferenceRuntime, KvWeights, LayerView, PageFormat, Route, Rows, StorePlan, TokenRouter,
} from '../inference/runtime';
import type { KvType } from '../inference/kv-type';
import type { PageStore } from '../inference/pages';
import type { KvFormat } from './format';

/** Keys and values of all KV heads, [rows, kvHeads·headDim] each. */
export interface KvRows {
  readonly k: Rows;
  readonly v: Rows;
}

/** Buffers that steps and prompts work in. */
export interface Projected extends KvRows {
  /** What each format would lose, [rows, 2·(E + 1)]; null where no router reads that. */
  readonly lost: Rows | null;
}

/** A layer that has keys and values of its own. */
export interface LayerSetting {
  readonly runtime: InferenceRuntime;
  /** The projections to keys and values, packed. */
  readonly projections: KvWeights;
  /** One for each expert, the most expensive first. */
  readonly formats: readonly KvFormat[];
  /** How single tokens are routed; null: all have the first format. */
  readonly router: TokenRouter | null;
  /** Whether the router reads what each format would lose of a token, instead of what its keys and values are computed from. */
  readonly readsLost: boolean;
  /** Element type of what is cached. */
  readonly type: KvType;
  /** Changes the projected keys of some rows in place before they are turned: the norms of some families. */
  readonly normKeys?: (k: Rows, rows: number) => void;
}

/** The tokens of a step, a row for each sequence. */
export interface StepRows {
  /** What keys, values and the router's decision are computed from: [rows, D]. */
  readonly x: Rows;
  readonly rows: number;
  /** To work in; needed where {@link LayerAttention.projects}. */
  readonly projected: Projected | null;
  /** Angles of the tokens' positions, for `rotate`; null where keys are not turned. */
  readonly angles: Rows | null;
  /** Of each row's cache. */
  readonly views: readonly LayerView[];
}

/** What a step attends to. */
export interface StepQueries extends Pick<AttendOptions, 'heads' | 'scale' | 'softCap'> {
  /** [rows, heads·headDim] */
  readonly q: Rows;
  readonly out: Rows;
  readonly views: readonly LayerView[];
  /** Of each row, as {@link LayerAttention.store} gave them. */
  readonly routes: readonly Route[];
  /** Of each row, where its cache wants the attention probabilities, see `AttendOptions.onProbabilities`. */
  readonly observers: readonly (AttendOptions['onProbabilities'] | null)[];
}

export interface ThroughOptions {
  /** The format of each row; null: all have the first. */
  readonly assigned: Int32Array | null;
  /** Where the rows go in the cache, if they do. */
  readonly plans: readonly StorePlan[] | null;
  /** Changes what attention sees of the rows, before a cache would round it. */
  readonly change?: ((rows: KvRows) => void) | undefined;
}

/**
 * The keys and values of one layer: made from its formats by {@link createLayerAttention}. It owns nothing. What runs at once gives no
 * promise, so that a step that stays on the device, or is a matter of microseconds, waits for nobody.
 */
export interface LayerAttention {
  readonly formats: readonly KvFormat[];
  /** `fused`: kernels attend to what is cached. `reference`: it is read back by the formats' meaning, with pages on the host. */
  readonly path: InferenceRuntime['path'];
  /** Whether steps need {@link StepRows.projected}. */
  readonly projects: boolean;
  /** Whether the first format gives back of projected rows what they are. */
  readonly isExact: boolean;

  /** Memory for what its formats store. */
  pages(format: PageFormat): PageStore;

  // Some rows of a prompt.

  /** Keys and values of the first rows of x, normed and turned. */
  project(x: Rows, rows: number, to: KvRows, angles: Rows | null): void;
  /** What the router reads of rows that were projected. */
  routerInput(x: Rows, rows: number, projected: Projected): Rows | Promise<Rows>;
  /** Projected rows become what attention will see of them in the cache, and are written to it. */
  through(projected: KvRows, rows: number, options: ThroughOptions): void | Promise<void>;

  // A step.

  /** Routes the tokens, and writes what their formats store to the slots. Experts are known after the runtime's next `read`. */
  store(step: StepRows): readonly Route[] | Promise<readonly Route[]>;
  /** out[row] = attention of q[row] over what its view has cached, and the token just stored. */
  attend(queries: StepQueries): void | Promise<void>;
}

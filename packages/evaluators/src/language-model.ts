import type { KvTraits, LayerRouting, Routing, WorkOptions } from '@mixsga/backend';
import type { CacheSpec, StreamedNll, StreamOptions } from '@mixsga/kv-cache';

export interface WindowsOptions extends WorkOptions {
  /** How many windows the tokens are: all have the same length T, at most the context length, and start at position 0. */
  readonly windows: number;
  readonly routing: Routing;
}

export interface LikelihoodOptions extends WindowsOptions {
  /**
   * The token at this position of every window gets keys and values that are their mean over all heads, in every layer
   * (multi-query attention for one token: the paper's Figure 1).
   */
  readonly collapsed?: number;
}

/** Of each target, row-major [windows, T]. */
export interface Likelihood {
  /** −log p(target | the inputs up to its place), nats. */
  readonly nll: Float32Array;
  /** 1 where the target is the likeliest token, else 0; where the model gives it out. */
  readonly greedy?: Uint8Array;
}

/** A model that gives likelihoods. Also one in training is such a model. */
export interface LikelihoodModel {
  /** Longest window in tokens. */
  readonly contextLength: number;
  readonly kv: KvTraits;
  /** @param inputs token ids, row-major [windows, T] @param targets the token after each input, of the same shape */
  likelihood(inputs: Int32Array, targets: Int32Array, options: WindowsOptions): Promise<Likelihood>;
  /** The experts in a pass whose layers follow `routing`, an entry for each layer that routes; empty where none does. */
  routingOf(inputs: Int32Array, options: WindowsOptions): Promise<readonly LayerRouting[]>;
}

/** All that an evaluator knows of a model with its tokenizer. */
export interface LanguageModel extends LikelihoodModel {
  readonly tokenizer: EvaluationTokenizer;
  /** The token that begins a text (BOS, or where there is none the end-of-text token); null where the model has neither. */
  readonly prefixToken: number | null;
  /** Tokens that end a text. */
  readonly stopTokens: readonly number[];
  likelihood(inputs: Int32Array, targets: Int32Array, options: LikelihoodOptions): Promise<Required<Likelihood>>;
  /**
   * Likelihoods under decode routing, token by token through a KV cache that may have a limit.
   * `inputs` and `targets` are row-major [windows, T].
   *
   * @throws ArgumentError when there is no such policy, or its bytes are too few
   */
  streamNll(inputs: Int32Array, targets: Int32Array, options: StreamOptions): Promise<StreamedNll>;
  /** Continues prompts of token ids, which may differ in length. The result is run through once. */
  generate(prompts: readonly ArrayLike<number>[], options: GenerationOptions): EvaluatedGeneration;
}

export interface EvaluationTokenizer {
  /** @param addSpecialTokens whether to add what the tokenizer puts around a text (BOS); default true */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** The same ids for a text of any length, while others have their turn. Without it `encode` must do. */
  encodeLong?(text: string, options?: { readonly addSpecialTokens?: boolean } & WorkOptions): Promise<number[]>;
  /** @param skipSpecialTokens default false */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
}

export interface GenerationOptions {
  readonly maxNewTokens: number;
  readonly stopTokens?: readonly number[];
  /** 0 takes the likeliest token; above, tokens are drawn. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  /** No run of this many tokens comes twice. */
  readonly noRepeatNgramSize?: number;
  /** Of each prompt, so that what is drawn does not depend on the other prompts. */
  readonly seeds?: readonly number[];
  readonly cache?: string | CacheSpec;
  /**
   * Of each prompt, how many of its tokens are context. They are taken in first, and the others one by one: what is kept of the context does not
   * depend on them. Default: all of a prompt is taken in at once.
   */
  readonly contextTokens?: readonly number[];
  readonly signal?: AbortSignal;
}

/** A generation under way: an event for each new token, and what it made so far. */
export interface EvaluatedGeneration extends AsyncIterable<{ readonly sequence: number; readonly token: number }> {
  /** The tokens after a prompt so far. */
  tokens(sequence: number): number[];
  stats(): EvaluatedGenerationStats;
}

export interface EvaluatedGenerationStats {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly prefillTokensPerSecond: number | null;
  readonly tokensPerSecond: number | null;
  /** Tokens that went into the caches. */
  readonly tokensSeen: number;
  readonly kvBytesUsed: number;
  readonly kvBytesAllocated: number;
  /** Tokens in the caches by expert, and under a KV budget by group size, summed over layers. */
  readonly expertCounts: readonly number[];
}

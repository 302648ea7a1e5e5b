import type { Routing } from '@mixsga/backend';
import type { CacheSpec } from '@mixsga/kv-cache';

import type { ChatEndpoint } from './judge/chat-completion';
import type { LanguageModel, LikelihoodModel } from './language-model';

/** A row of a data set, and where it stands, for errors: `dolly.jsonl: line 3`. */
export interface DataRow {
  readonly value: unknown;
  readonly where: string;
}

/** What is evaluated on. Evaluators that read a text take `tokens`, those of data sets `rows`. */
export interface EvaluationData {
  /** Name of the text or the data set, for results. */
  readonly name: string;
  /** Token ids of a text. */
  readonly tokens?: Int32Array;
  readonly rows?: readonly DataRow[];
}

/** How evaluators of instructions have responses written. Defaults are those of MiniLLM. */
export interface GenerationSettings {
  /** A response to each row for each seed. Default 10, 20, 30, 40 and 50. */
  readonly seeds?: readonly number[];
  /** Default 1. 0 takes the likeliest token each time. */
  readonly temperature?: number;
  /** Default 1: off. */
  readonly topP?: number;
  /** Default: off. */
  readonly topK?: number;
  /** Default 256, and at most half of the model's context length. */
  readonly maxNewTokens?: number;
  /** No sequence of this many tokens comes twice in prompt and response. Default: off; MiniLLM's own test runs have 6. */
  readonly noRepeatNgramSize?: number;
}

/** What samples of retrieval are made by. */
export interface RetrievalSettings {
  /** Tokens of prompt and answer together. Default: 4,096, or the model's context length where that is less. */
  readonly lengths?: readonly number[];
  /** Tasks of `ruler`. Default: all that need no download. */
  readonly tasks?: readonly string[];
  /** Places of the key in `passkey`, at even distances from the beginning to the end. Default 11. */
  readonly depths?: number;
  /** Default: what lm-evaluation-harness seeds Python's and NumPy's random numbers with, 0 and 1234. */
  readonly seed?: number;
}

/** Items that are measured together where nothing else is asked for. */
export const DEFAULT_BATCH_SIZE = 8;

/** What every evaluator is given; each reads what it needs. */
export interface EvaluationOptions {
  /** No default: a likelihood means nothing without it. */
  readonly routing: Routing;
  /** Items that are measured together. Memory and speed only: results do not depend on it. Default 8. */
  readonly batchSize?: number;
  /** Measures this many items of a data set, the first ones. Default: all. Of retrieval, as many of each task, length and depth. */
  readonly limit?: number;
  /** Predictions in a window of a text. Default: the model's context length. */
  readonly windowLength?: number;
  /**
   * Tokens between the starts of two windows, at most `windowLength`. A smaller stride gives each prediction more
   * context at more cost. Default: `windowLength` (disjoint windows).
   */
  readonly stride?: number;
  /** Takes only this many of a text's windows, spread evenly over it. Default: all. */
  readonly maxWindows?: number;
  /**
   * What keeps the KV cache of a sequence small, or its text, such as `h2o:0.6` or `mean-attention:65536B`; then a text goes token by token through
   * a cache, as it does with `none`. Results have it in the fields `eviction`, `kvBudget` and `kvPolicy`. Default: no cache, all tokens of the window.
   */
  readonly cache?: string | CacheSpec;
  /** How evaluators of instructions generate. */
  readonly generation?: GenerationSettings;
  /** What samples of retrieval are made by. */
  readonly retrieval?: RetrievalSettings;
  /** Where the evaluator `judge` asks for ratings. */
  readonly judge?: ChatEndpoint;
  /** Aborts within about a tenth of a second where the model does, else between two batches: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How much of the items that are measured together is done, from 0 to 1; not called where that is short. */
  readonly onPart?: (done: number) => void;
}

/** Where a data set is published on the Hugging Face Hub. */
export interface PublishedDataset {
  /** `organisation/name` of the Hub. */
  readonly repository: string;
  /** The file of the split that is measured by convention, JSONL or Parquet. */
  readonly file: string;
}

/** What the rows of a synthetic data set are made of. */
export interface RowSources {
  /** The text that haystacks are cut from, and its name; read only where it is needed. */
  text(): Promise<{ readonly name: string; readonly text: string }>;
  /** Called after each row with how many are made, and how many there will be. */
  readonly onRow?: (made: number, of: number) => void;
}

/**
 * Makes the rows of a synthetic data set, whose lengths are in tokens of the model's tokenizer: the same for the same tokenizer, options and text.
 * @throws ArgumentError for an option out of range; the signal's reason
 */
export type MakeRows<Model extends LikelihoodModel = LanguageModel> = (
  model: Model, options: EvaluationOptions, sources: RowSources,
) => Promise<readonly DataRow[]>;

/** What an evaluator found: numbers by name, and whatever explains them. Plain data that JSON can hold. */
export interface Summary {
  /** Numbers by their names in the literature, such as `acc` and `acc_stderr`; null where there is none to give. */
  readonly metrics: Readonly<Record<string, number | null>>;
  /** What belongs to the numbers: counts, settings, per-layer values. */
  readonly details: Readonly<Record<string, unknown>>;
}

/**
 * Something to measure of a model: a list of items, a sample for each, and a summary of all samples. Samples and
 * summaries are plain data that JSON can hold, so that a run can end at any sample and go on from there.
 */
export interface Evaluator<Item = unknown, Sample extends object = object, Model extends LikelihoodModel = LanguageModel> {
  /** Name on the command line and in results. */
  readonly name: string;
  /** What it measures, in one line. */
  readonly description: string;
  /** The published definition that its numbers follow. */
  readonly definition: string;
  /** Goes up when the same model would get other numbers. Samples of another version are never resumed. */
  readonly version: number;
  readonly reads: 'tokens' | 'rows';
  /** For those that read rows. */
  readonly dataset?: PublishedDataset;
  /** For those whose rows are made, not published. */
  readonly makeRows?: MakeRows<Model>;
  /** Whether {@link makeRows} cuts haystacks from a text. */
  readonly readsText?: boolean;
  /** Whether `cache` has a part in its numbers. Default: they have none. */
  readonly evicts?: boolean;
  /** The metrics for which more is better, those with a length after their name among them (`score_4096`); for all others less is. */
  readonly higherIsBetter: readonly string[];
  /**
   * What to measure, in order: the same for the same model, data and options, and cheap to list.
   * @throws FileError that names the row for a bad one; ArgumentError for an option out of range
   */
  items(model: Model, data: EvaluationData, options: EvaluationOptions): readonly Item[];
  /** Whether an item can be measured, by what {@link items} is too cheap to find out. @throws FileError that names its row where it cannot */
  check?(model: Model, item: Item, options: EvaluationOptions): void;
  /**
   * Measures some items that follow each other.
   * @returns a sample for each, in order; or, where one fails, of those before it, if there are any: it is tried again as the first
   */
  measure(model: Model, items: readonly Item[], options: EvaluationOptions): Promise<readonly Sample[]>;
  /** @param samples of all items, in order; one or more */
  summarise(samples: readonly Sample[], model: Model, options: EvaluationOptions): Summary;
}

/** Whether more of a metric is better. */
export function isHigherBetter({ higherIsBetter }: Pick<Evaluator, 'higherIsBetter'>, metric: string): boolean {
  return higherIsBetter.includes(metric.replace(/_\d+$/, ''));
}

/** Gives a definition its types without losing them. */
export function defineEvaluator<Item, Sample extends object, Model extends LikelihoodModel = LanguageModel>(
  evaluator: Evaluator<Item, Sample, Model>,
): Evaluator<Item, Sample, Model> {
  return evaluator;
}

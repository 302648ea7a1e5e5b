import type { LanguageModel, Routing } from './language-model';
import type { WindowOptions } from './windows';

/** What every evaluator is given; each reads what it needs. */
export interface EvaluationOptions extends WindowOptions {
  routing: Routing;
  /** Eviction policy, see `perplexity`, which alone depends on it. */
  eviction?: string;
}

/** Something to measure of a language model on a stream of tokens. Its result is plain data that JSON can hold. */
export interface Evaluator<Result = unknown> {
  /** Name on the command line and in results. */
  readonly name: string;
  /** What it measures, in one line. */
  readonly description: string;
  evaluate(model: LanguageModel, tokens: Int32Array, options: EvaluationOptions): Promise<Result>;
}

/** Gives a definition its type without losing the type of its result. */
export function defineEvaluator<Result>(evaluator: Evaluator<Result>): Evaluator<Result> {
  return evaluator;
}

import { ArgumentError } from '@mixsga/backend';

import type { Evaluator } from './evaluator';
import { kvAccountingEvaluator } from './kv-accounting';
import { perplexityEvaluator } from './perplexity';
import { routingEvaluator } from './routing';

/** Every evaluator by name. A new one is a file of its own and a line here. */
export const evaluators = {
  perplexity: perplexityEvaluator,
  kv_accounting: kvAccountingEvaluator,
  routing: routingEvaluator,
} satisfies Record<string, Evaluator>;

export type EvaluatorName = keyof typeof evaluators;

/** The evaluator of that name. @throws ArgumentError that lists the names, for any other */
export function evaluatorNamed(name: string): Evaluator {
  if (Object.hasOwn(evaluators, name)) return evaluators[name as EvaluatorName];
  throw new ArgumentError(`evaluator: expected one of ${Object.keys(evaluators).join(', ')}, got '${name}'`);
}

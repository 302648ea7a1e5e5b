import { ArgumentError } from '@mixsga/backend';

import type { Evaluator } from './evaluator';
import kv from './kv';
import perplexity from './perplexity';
import routing from './routing';

/** Every evaluator by name. A new one is a file of its own and a line here. */
export const evaluators = { perplexity, kv, routing } satisfies Record<string, Evaluator>;

export type EvaluatorName = keyof typeof evaluators;

/** The evaluator of that name. @throws ArgumentError that lists the names, for any other */
export function evaluatorNamed(name: string): Evaluator {
  if (Object.hasOwn(evaluators, name)) return evaluators[name as EvaluatorName];
  throw new ArgumentError(`evaluator: expected one of ${Object.keys(evaluators).join(', ')}, got '${name}'`);
}

import { ArgumentError } from '@mixsga/backend';

import type { Evaluator } from './evaluator';
import { dollyEvaluator } from './instructions/dolly';
import { sNiEvaluator } from './instructions/s-ni';
import { selfInstructEvaluator } from './instructions/self-instruct';
import { unNiEvaluator } from './instructions/un-ni';
import { vicunaEvaluator } from './instructions/vicuna';
import { judgeEvaluator } from './judge/judge';
import { kvAccountingEvaluator } from './kv-accounting';
import { arcChallenge, arcEasy } from './multiple-choice/arc';
import { hellaswag } from './multiple-choice/hellaswag';
import { piqa } from './multiple-choice/piqa';
import { winogrande } from './multiple-choice/winogrande';
import { perplexityEvaluator } from './perplexity';
import { passkey } from './retrieval/passkey';
import { ruler } from './retrieval/ruler';
import { routingEvaluator } from './routing';
import { throughput } from './throughput';
import { tokenImportance } from './token-importance';
import { wikitext } from './wikitext';

/** The evaluators that come with this package. A new one is a file of its own and a line here. */
export const evaluators = {
  perplexity: perplexityEvaluator,
  wikitext,
  hellaswag,
  piqa,
  winogrande,
  arc_easy: arcEasy,
  arc_challenge: arcChallenge,
  dolly: dollyEvaluator,
  self_instruct: selfInstructEvaluator,
  vicuna: vicunaEvaluator,
  s_ni: sNiEvaluator,
  un_ni: unNiEvaluator,
  judge: judgeEvaluator,
  ruler,
  passkey,
  kv_accounting: kvAccountingEvaluator,
  routing: routingEvaluator,
  throughput,
  token_importance: tokenImportance,
} satisfies Record<string, Evaluator>;

export type EvaluatorName = keyof typeof evaluators;

const known = new Map<string, Evaluator>(Object.entries(evaluators));

/** Names of all evaluators, those of {@link registerEvaluator} included. */
export function evaluatorNames(): string[] {
  return [...known.keys()];
}

/**
 * Makes an evaluator of your own known by its name.
 * @throws ArgumentError when the name is not one of small letters, digits and underscores, or another evaluator's
 */
export function registerEvaluator(evaluator: Evaluator): void {
  const { name } = evaluator;
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new ArgumentError(`registerEvaluator: expected a name of small letters, digits and underscores, got ${JSON.stringify(name)}`);
  if (known.has(name) && known.get(name) !== evaluator) throw new ArgumentError(`registerEvaluator: expected a name that is free, got ${name}`);
  known.set(name, evaluator);
}

/** The evaluator of that name. @throws ArgumentError that lists the names, for any other */
export function evaluatorNamed(name: string): Evaluator {
  const evaluator = known.get(name);
  if (evaluator) return evaluator;
  throw new ArgumentError(`evaluator: expected one of ${evaluatorNames().join(', ')}, got '${name}'`);
}

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
import { routingEvaluator } from './routing';
import { throughput } from './throughput';
import { tokenImportance } from './token-importance';
import { wikitext } from './wikitext';

/** Every evaluator by name. A new one is a file of its own and a line here. */
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
  kv_accounting: kvAccountingEvaluator,
  routing: routingEvaluator,
  throughput,
  token_importance: tokenImportance,
} satisfies Record<string, Evaluator>;

export type EvaluatorName = keyof typeof evaluators;

/** The evaluator of that name. @throws ArgumentError that lists the names, for any other */
export function evaluatorNamed(name: string): Evaluator {
  if (Object.hasOwn(evaluators, name)) return evaluators[name as EvaluatorName];
  throw new ArgumentError(`evaluator: expected one of ${Object.keys(evaluators).join(', ')}, got '${name}'`);
}

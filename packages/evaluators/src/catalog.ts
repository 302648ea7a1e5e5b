import { ArgumentError, Registry } from '@mixsga/backend';

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

const registry = new Registry<Evaluator>(evaluators, {
  register: 'registerEvaluator',
  fields: {
    name: 'string',
    description: 'string',
    definition: 'string',
    version: 'number',
    reads: ['tokens', 'rows'],
    'dataset?': { repository: 'string', file: 'string' },
    'makeRows?': 'function',
    'readsText?': 'boolean',
    'evicts?': 'boolean',
    higherIsBetter: 'list',
    items: 'function',
    'check?': 'function',
    measure: 'function',
    summarise: 'function',
  },
  name: { pattern: /^[a-z][a-z0-9_]*$/, form: 'small letters, digits and underscores' },
});

/** Names of all evaluators, those of {@link registerEvaluator} included. */
export function evaluatorNames(): string[] {
  return registry.names();
}

/**
 * Makes an evaluator of your own known by its name.
 * @throws ArgumentError when the name is not one of small letters, digits and underscores or another evaluator's, or it lacks a field
 */
export function registerEvaluator(evaluator: Evaluator): void {
  registry.add((evaluator as Evaluator | null | undefined)?.name ?? '', evaluator);
}

/** The evaluator of that name. @throws ArgumentError that lists the names, for any other */
export function evaluatorNamed(name: string): Evaluator {
  const evaluator = registry.get(name);
  if (evaluator) return evaluator;
  throw new ArgumentError(`evaluator: expected one of ${evaluatorNames().join(', ')}, got '${name}'; ${registry.hint(name)}`);
}

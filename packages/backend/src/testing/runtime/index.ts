/**
 * The conformance suite of inference runtimes: run every check of {@link runtimeChecks} on each runtime that matters, in any
 * test runner, with its backend active. A check holds an operation against loops in double precision and rejects with an
 * Error that says what does not hold.
 */
import { activationChecks } from './activation-checks';
import type { RuntimeCheck } from './check';
import { decodeChecks } from './decode-checks';
import { familyChecks } from './family-checks';
import { likelihoodChecks } from './likelihood-checks';
import { promptChecks } from './prompt-checks';

export type { RuntimeCheck };

export const runtimeChecks: readonly RuntimeCheck[] = [
  ...activationChecks, ...likelihoodChecks, ...decodeChecks, ...promptChecks, ...familyChecks,
];

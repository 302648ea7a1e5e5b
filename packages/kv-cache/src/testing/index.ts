/**
 * The conformance suite of policies: run every check of {@link policyChecks}, in any test runner. A check rejects with an Error that says what does not hold.
 */
export { policyChecks } from './policy-checks';
export type { PolicyCheck } from './policy-checks';

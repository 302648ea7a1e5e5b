/**
 * The conformance suites of eviction policies and of policies of the KV budget: run every check of {@link evictionChecks} or
 * {@link budgetChecks}, in any test runner. A check rejects with an Error that says what does not hold.
 */
export { budgetChecks } from './budget-checks';
export type { BudgetCheck } from './budget-checks';
export { evictionChecks } from './eviction-checks';
export type { EvictionCheck } from './eviction-checks';

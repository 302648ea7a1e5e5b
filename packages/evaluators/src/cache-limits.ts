import type { EvaluationOptions } from './evaluator';

/** How the KV cache is kept small; with either, a text goes token by token through a cache. */
export type CacheLimits = Pick<EvaluationOptions, 'eviction' | 'kvBudget' | 'kvPolicy'>;

/** Those of the options that are given: for caches, and for results. */
export function cacheLimits({ eviction, kvBudget, kvPolicy }: CacheLimits): CacheLimits {
  return {
    ...(eviction !== undefined && { eviction }),
    ...(kvBudget !== undefined && { kvBudget, ...(kvPolicy !== undefined && { kvPolicy }) }),
  };
}

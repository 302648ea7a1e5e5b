import type { KeptTokens } from '../eviction/policy';

/**
 * Which tokens of a layer lose heads when its bytes are full. As in eviction, a number for each token is all that a policy
 * remembers, and the cache keeps it.
 */
export interface BudgetPolicy {
  /** Names the policy with its settings: what `parseBudgetPolicy` reads, or a name of your own. */
  readonly spec: string;
  /**
   * Group sizes that tokens can be coarsened to, beside those that tokens are stored with. Default: these, doubled until all tokens at the coarsest
   * would take two thirds of the bytes, or as often as the heads allow.
   */
  readonly groupSizes?: readonly number[];
  /** Whether tokens go when all are at the coarsest. Without it the cache is refused if it could come to that. */
  readonly evicts: boolean;
  /** As that of an eviction policy. A policy without it needs no attention. */
  readonly accumulate?: (score: number, probability: number, queries: number) => number;
  /** A number for each token: the lowest loses heads first, of equal ones the older. */
  importance(tokens: BudgetTokens): ArrayLike<number>;
}

export interface BudgetTokens extends KeptTokens {
  /** Tokens that would fill the layer's bytes if each were of the finest group size. */
  readonly capacity: number;
}

/** What a policy's text says beside its name. */
export type BudgetPolicyOptions = Pick<BudgetPolicy, 'spec' | 'groupSizes' | 'evicts'>;

/** An entry of the catalog. */
export interface BudgetKind {
  readonly description: string;
  create(options: BudgetPolicyOptions): BudgetPolicy;
}

/** How much a cache may hold. */
export interface BudgetOptions {
  /** Of `KvCache.bytes().used`, over all layers, which divide it evenly. */
  readonly bytes: number;
  /** What `parseBudgetPolicy` reads, or a policy of your own. Default `mean-attention`. */
  readonly policy?: string | BudgetPolicy;
}

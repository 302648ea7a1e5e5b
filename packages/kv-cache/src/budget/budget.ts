import { ArgumentError } from '@mixsga/backend';
import { parseBudgetPolicy } from './index';
import { ENTRY_BYTES } from '../layers/slot-entries';
import { coarserOf, ladder } from './ladder';
import type { BudgetOptions, BudgetPolicy } from './policy';

/**
 * Share of the bytes that all tokens at the coarsest may take where sizes are chosen. A size more makes room for more tokens at the finest, but tokens
 * at the coarsest are then hardly more than evicted: that lost more of latents, and as much of heads (docs/beyond.md).
 */
const COARSEST_SHARE = 2 / 3;

/** A budget of a layout, checked. */
export interface Budget {
  readonly policy: BudgetPolicy;
  readonly bytes: number;
  readonly layerBytes: number;
  /** Of the arenas; the first are those that tokens are stored with. */
  readonly groupSizes: readonly number[];
  /** What a step can add to a layer: the bytes of a token as the finest expert stores it, with its entry. */
  readonly finestBytes: number;
  readonly maxTokens: number | null;
}

export interface BudgetLayout {
  readonly layers: number;
  /** What group sizes divide: the KV heads, or the numbers of an entry. */
  readonly divisible: number;
  /** Of what is stored. */
  readonly groupSizes: readonly number[];
  /** Bytes of a token's keys and values in an arena of a group size. */
  readonly tokenBytes: (groupSize: number) => number;
}

/**
 * @param maxTokens the length that the sequence can reach
 * @param known the group sizes where the policy names none and a cache has them already
 * @throws ArgumentError when the bytes are none, there is no such policy, or `maxTokens` tokens at
 *   the coarsest are more than the bytes and the policy does not evict
 */
export function budgetOf({ bytes, policy: given = 'mean-attention' }: BudgetOptions, layout: BudgetLayout, maxTokens: number | null, known?: readonly number[]): Budget {
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new ArgumentError(`KV budget: expected a whole number of bytes from 1, got ${bytes}`);
  const policy = typeof given === 'string' ? parseBudgetPolicy(given) : given;
  const { layers, divisible, tokenBytes } = layout;
  const bytesOf = (size: number) => tokenBytes(size) + ENTRY_BYTES;
  const enough = (size: number) => maxTokens !== null && layers * maxTokens * bytesOf(size) <= COARSEST_SHARE * bytes;
  const groupSizes = ladder(layout.groupSizes, divisible, policy.groupSizes ?? known, enough);
  const coarsestBytes = Math.max(...layout.groupSizes.map((_, expert) => bytesOf(groupSizes[coarsestOf(groupSizes, expert)]!)));
  const finestBytes = bytesOf(Math.min(...layout.groupSizes));
  const layerBytes = Math.floor(bytes / layers);
  const budget = { policy, bytes, layerBytes, groupSizes, finestBytes, maxTokens };
  if (policy.evicts) {
    const least = layers * (coarsestBytes + finestBytes);
    if (bytes >= least) return budget;
    throw new ArgumentError(`KV budget: expected at least ${least} bytes, for a token at the coarsest and a new one, got ${bytes}`);
  }
  if (maxTokens === null || !Number.isInteger(maxTokens) || maxTokens < 1) {
    throw new ArgumentError(
      `KV budget: expected maxTokens, all of which it keeps, to be a whole number from 1, got ${maxTokens}; or a policy that evicts`,
    );
  }
  const least = layers * ((maxTokens - 1) * coarsestBytes + finestBytes);
  if (bytes >= least) return budget;
  throw new ArgumentError(
    `KV budget: expected at least ${least} bytes, which ${maxTokens} tokens at the coarsest need, got ${bytes}; ` +
      `ask for fewer tokens, or let it evict too (${policy.spec}:evict)`,
  );
}

/** The arena where coarsening ends for the tokens of an arena. */
function coarsestOf(groupSizes: readonly number[], arena: number): number {
  const next = coarserOf(groupSizes, arena);
  return next === null ? arena : coarsestOf(groupSizes, next);
}

import { ArgumentError } from '@mixsga/backend';
import { attention } from './attention';
import { meanAttention } from './mean-attention';
import { oldest } from './oldest';
import type { BudgetKind, BudgetPolicy } from './policy';

/** The policies of a byte budget. A new one is one file and one line here. */
export const budgetKinds = { 'mean-attention': meanAttention, attention, oldest } satisfies Record<string, BudgetKind>;

/**
 * Reads the text of a policy: `attention`, with group sizes to coarsen to `attention@2,4`, and, where tokens may go when all are at
 * the coarsest, `attention:evict` or `attention@2,4:evict`.
 * @throws ArgumentError when the text is none of them
 */
export function parseBudgetPolicy(spec: string): BudgetPolicy {
  const [, name = '', sizes, evict] = /^([a-z-]+)(?:@(\d+(?:,\d+)*))?(:evict)?$/.exec(spec) ?? [];
  if (name === 'margin') {
    throw new ArgumentError('KV budget: margin, by how sure routers were, was removed, since it lost more than any other policy (docs/log.md); use mean-attention');
  }
  const kind = Object.hasOwn(budgetKinds, name) ? budgetKinds[name as keyof typeof budgetKinds] : null;
  if (kind) return kind.create({ spec, evicts: evict !== undefined, ...(sizes && { groupSizes: sizes.split(',').map(Number) }) });
  throw new ArgumentError(
    `KV budget: expected a policy ${Object.keys(budgetKinds).join(', ')}, alone or with group sizes and :evict ` +
      `(such as attention@2,4:evict), got ${JSON.stringify(spec)}`,
  );
}

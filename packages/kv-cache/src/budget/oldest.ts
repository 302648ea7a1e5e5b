import type { BudgetKind } from './policy';

/** The oldest tokens lose heads first. It needs no attention. */
export const oldest: BudgetKind = {
  description: 'the oldest tokens first',
  create: (options) => ({ ...options, importance: ({ positions }) => positions }),
};

import type { BudgetKind } from './policy';

/**
 * The tokens of which the router was least sure lose heads first: those whose expert's score is the least above the best of the
 * others, or the most below it, as in a prompt that expert choice divided. It needs a model that routes, and no attention.
 */
export const margin: BudgetKind = {
  description: 'the tokens with the smallest router margin first',
  create: (options) => ({ ...options, usesMargins: true, importance: ({ scores }) => scores }),
};

import { budgetText, perplexityText } from './format';
import type { MethodSummary } from './summary';

/** Budgets nearer than this count as equal. */
const SAME_BUDGET = 0.005;

/**
 * For each asked KV budget that two or more methods of series have, which has the lowest perplexity under decode routing, and whether it has in
 * every seed; the highest budget first. Empty where methods are not of series.
 */
export function frontierLines(methods: readonly MethodSummary[]): string[] {
  const sorted = methods.filter(({ series }) => series !== null).sort((a, b) => b.kvBudget - a.kvBudget);
  const budgets = sorted.map(({ kvBudget }) => kvBudget).filter((budget, i, all) => i === 0 || all[i - 1]! - budget > SAME_BUDGET);
  return budgets.flatMap((budget) => {
    const equals = sorted
      .filter(({ kvBudget }) => Math.abs(kvBudget - budget) <= SAME_BUDGET)
      .sort((a, b) => a.perplexity.decode.mean - b.perplexity.decode.mean);
    const [best, ...others] = equals as [MethodSummary, ...MethodSummary[]];
    if (others.length === 0) return [];
    const beaten = others.filter(({ perplexity }) => perplexity.decode.min > best.perplexity.decode.max);
    const seeds = best.seeds.length === 1 ? 'one seed' : beaten.length === others.length ? 'in every seed below all others' : `the seeds' ranges of ${others.length - beaten.length} overlap with it`;
    const rest = others.map(({ name, perplexity }) => `${name} ${perplexityText(perplexity.decode)}`).join(', ');
    return [`**${budgetText(budget)} of the KV cache**: ${best.name}, ${perplexityText(best.perplexity.decode)}; ${seeds}: ${rest}.`];
  });
}

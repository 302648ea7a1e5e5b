import { budgetText, perplexityText } from './format';
import type { MethodSummary } from './summary';

/** Budgets nearer than this count as equal. */
const SAME_BUDGET = 0.005;

/**
 * Whole methods by the KV budget that they were asked to keep, the highest budget first, and of each the lowest perplexity under decode routing first.
 * Ablations are no candidates.
 */
export function byBudget(methods: readonly MethodSummary[]): MethodSummary[][] {
  const groups: MethodSummary[][] = [];
  for (const method of methods.filter(({ ablation }) => ablation === null).sort((a, b) => b.kvBudget - a.kvBudget)) {
    const last = groups.at(-1);
    if (last && last[0]!.kvBudget - method.kvBudget < SAME_BUDGET) last.push(method);
    else groups.push([method]);
  }
  return groups.map((group) => group.toSorted((a, b) => a.perplexity.decode.mean - b.perplexity.decode.mean));
}

/** Those of a group of {@link byBudget} that cannot be distinguished from its first: the ranges of their seeds overlap. It is one of them. */
function leaders([first, ...others]: readonly MethodSummary[]): MethodSummary[] {
  return [first!, ...others.filter(({ perplexity }) => perplexity.decode.min <= first!.perplexity.decode.max)];
}

/** For each KV budget that two or more methods have, which has the lowest perplexity under decode routing, or between which it is open. */
export function frontierLines(methods: readonly MethodSummary[]): string[] {
  return byBudget(methods).flatMap((group) => {
    const [best] = group;
    if (group.length < 2) return [];
    const first = leaders(group);
    const text = ({ name, perplexity }: MethodSummary) => `${name} ${perplexityText(perplexity.decode)}`;
    const others = group.filter((method) => !first.includes(method)).map(text).join(', ');
    const budget = `**${budgetText(best!.kvBudget)} of the KV cache**`;
    if (first.length > 1) {
      return [`${budget}: no clear best, since the seeds' ranges overlap: ${first.map(text).join(', ')}${others && `; above them: ${others}`}.`];
    }
    const seeds = best!.seeds.length === 1 ? 'with one seed' : 'in every seed below all others';
    return [`${budget}: ${best!.name}, ${perplexityText(best!.perplexity.decode)}; ${seeds}: ${others}.`];
  });
}

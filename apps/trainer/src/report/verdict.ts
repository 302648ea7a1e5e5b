import { higherBy, lowerBy, percent, perplexityText } from './format';
import type { MethodSummary, Spread } from './summary';

/** Budgets nearer than this count as equal. */
const SAME_BUDGET = 0.005;

/** Who won between GQA and mixSGA at GQA's KV budget, under decode routing. */
export interface Verdict {
  outcome: 'mixSGA' | 'GQA' | 'tie' | 'not compared';
  /** The answer in one sentence, as Markdown. */
  sentence: string;
  /** What must be known to read the answer right, a sentence each. */
  remarks: string[];
}

/**
 * The answer to the question of the comparison. The rivals are GQA and the best whole mixSGA (ablations do not
 * count) of the same KV budget; where the ranges of their seeds overlap, nobody wins.
 */
export function judge(methods: readonly MethodSummary[]): Verdict {
  const whole = methods.filter((method) => method.ablation === null);
  const gqa = best(whole.filter((method) => method.attention.startsWith('gqa:')));
  const equals = gqa ? whole.filter((method) => Math.abs(method.kvBudget - gqa.kvBudget) < SAME_BUDGET) : [];
  const mixsga = best(equals.filter((method) => method.attention.startsWith('mixsga:')));
  if (!gqa || !mixsga) {
    return {
      outcome: 'not compared',
      sentence: 'The question stays open: it takes GQA and mixSGA at the same KV budget, and this report does not have both.',
      remarks: [],
    };
  }
  const [winner, loser] = gqa.perplexity.decode.mean <= mixsga.perplexity.decode.mean ? [gqa, mixsga] : [mixsga, gqa];
  const won = winner.perplexity.decode;
  const lost = loser.perplexity.decode;
  const at = `At ${percent(gqa.kvBudget)} of the KV cache, under decode routing,`;
  const remarks = [...seedRemark(gqa, mixsga), ...chosenRemark(mixsga, equals), ...driftRemark(mixsga), ...bestRemark(winner, equals)];
  if (won.max >= lost.min) {
    const because =
      won.mean === lost.mean ? 'there is no difference' : `the ranges overlap, so a difference of ${lowerBy(won, lost)} may be chance`;
    return {
      outcome: 'tie',
      sentence: `**Neither won.** ${at} ${winner.name} has a perplexity of ${perplexityText(won)} and ${loser.name} one of ${perplexityText(lost)}: ${because}.`,
      remarks,
    };
  }
  return {
    outcome: winner === gqa ? 'GQA' : 'mixSGA',
    sentence: `**${winner.name} won.** ${at} its perplexity is ${perplexityText(won)}, against ${perplexityText(lost)} for ${loser.name}: ${lowerBy(won, lost)} lower.`,
    remarks,
  };
}

/** What the ablations cost, a sentence each: the random router, and no consistency loss. */
export function judgeAblations(methods: readonly MethodSummary[]): string[] {
  return methods.flatMap((ablated) => {
    const whole = methods.find((method) => method.ablation === null && method.attention === ablated.attention);
    if (ablated.ablation === null || !whole) return [];
    const cause = ablated.ablation === 'random router' ? 'With a random router' : 'Without the consistency loss';
    const agreement =
      ablated.agreement && whole.agreement
        ? `, and decode agrees with prefill on ${percent(ablated.agreement.mean)} of the tokens (${percent(whole.agreement.mean)})`
        : '';
    return [
      `${cause}, ${whole.name} ${change(whole.perplexity.decode, ablated.perplexity.decode)} under decode routing, ` +
        `from ${perplexityText(whole.perplexity.decode)} to ${perplexityText(ablated.perplexity.decode)}${agreement}.`,
    ];
  });
}

function change(from: Spread, to: Spread): string {
  if (to.min > from.max) return `gets ${higherBy(from, to)} worse`;
  if (to.max < from.min) return `gets ${lowerBy(to, from)} better`;
  return 'does not clearly change';
}

function seedRemark(gqa: MethodSummary, mixsga: MethodSummary): string[] {
  const seeds = Math.min(gqa.seeds.length, mixsga.seeds.length);
  if (seeds > 1) return [];
  return ['Each method ran with one seed, so how much of the difference is chance was not measured.'];
}

function chosenRemark(mixsga: MethodSummary, equals: readonly MethodSummary[]): string[] {
  const others = equals.filter((method) => method !== mixsga && method.attention.startsWith('mixsga:'));
  if (others.length === 0) return [];
  const list = others.map((method) => `${method.name} (${perplexityText(method.perplexity.decode)})`).join(', ');
  return [`${mixsga.name} is the best mixSGA setting of this report; the others are ${list}.`];
}

function driftRemark(mixsga: MethodSummary): string[] {
  const realised = mixsga.realisedKvBudget?.decode;
  if (realised === undefined || Math.abs(realised - mixsga.kvBudget) < 0.01) return [];
  const side = realised > mixsga.kvBudget ? 'more than it was given' : 'less than it was given';
  return [`Its decode routing really used ${percent(realised, 1)} of the KV cache, ${side}: nothing enforces the ratios there.`];
}

function bestRemark(winner: MethodSummary, equals: readonly MethodSummary[]): string[] {
  const first = best(equals)!;
  if (first.perplexity.decode.mean >= winner.perplexity.decode.mean) return [];
  return [`The lowest perplexity at that budget is neither's: ${first.name} has ${perplexityText(first.perplexity.decode)}.`];
}

function best(methods: readonly MethodSummary[]): MethodSummary | undefined {
  return methods.toSorted((a, b) => a.perplexity.decode.mean - b.perplexity.decode.mean)[0];
}

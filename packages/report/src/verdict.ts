import type { Spread } from '@mixsga/evaluators';

import { higherBy, lowerBy, percent, perplexityText } from './format';
import { byBudget } from './ranking';
import type { MethodSummary } from './summary';

/** Who won between GQA and mixSGA at GQA's KV budget, under decode routing. */
export interface Verdict {
  outcome: 'mixSGA' | 'GQA' | 'tie' | 'not compared';
  /** The answer in one sentence, as Markdown. */
  sentence: string;
  /** What must be known to read the answer right, a sentence each. */
  remarks: string[];
}

/**
 * The answer to the question of the comparison. The rivals are GQA and the whole mixSGA (ablations do not count) of the lowest perplexity
 * at the highest KV budget that both have; where the ranges of their seeds overlap, nobody wins.
 */
export function judge(methods: readonly MethodSummary[]): Verdict {
  const groups = byBudget(methods);
  const equals = groups.find((group) => group.some(isGqa) && group.some(isMixsga));
  if (!equals) {
    return {
      outcome: 'not compared',
      sentence: 'The question stays open: it takes GQA and mixSGA at the same KV budget, and this report does not have both.',
      remarks: [],
    };
  }
  const [gqa, mixsga] = [equals.find(isGqa)!, equals.find(isMixsga)!];
  const [winner, loser] = equals.indexOf(gqa) < equals.indexOf(mixsga) ? [gqa, mixsga] : [mixsga, gqa];
  const won = winner.perplexity.decode;
  const lost = loser.perplexity.decode;
  const found = `At ${percent(gqa.kvBudget)} of the KV cache, under decode routing, ${winner.name} has a perplexity of ${perplexityText(won)} and ${loser.name} one of ${perplexityText(lost)}`;
  const remarks = [...seedRemark(gqa, mixsga), ...chosenRemark(equals), ...driftRemark(mixsga), ...othersRemark([gqa, mixsga], equals)];
  if (won.max >= lost.min) {
    const because =
      won.mean === lost.mean ? 'there is no difference' : `the ranges overlap, so a difference of ${lowerBy(won, lost)} may be chance`;
    return { outcome: 'tie', sentence: `**Neither keeps clearly more.** ${found}: ${because}.`, remarks };
  }
  return {
    outcome: winner === gqa ? 'GQA' : 'mixSGA',
    sentence: `**${winner === gqa ? 'GQA keeps more than mixSGA' : 'mixSGA keeps more than GQA'}.** ${found}: ${lowerBy(won, lost)} lower.`,
    remarks,
  };
}

function isGqa({ attention }: MethodSummary): boolean {
  return attention.startsWith('gqa:');
}

/** Of either pooling. */
function isMixsga({ attention }: MethodSummary): boolean {
  return /^mixsga(-root)?:/.test(attention);
}

/** What the ablations cost, a sentence each: the random router, and no consistency loss. */
export function judgeAblations(methods: readonly MethodSummary[]): string[] {
  return methods.flatMap((ablated) => {
    const whole = methods.find((method) => method.ablation === null && method.router === null && method.attention === ablated.attention && method.align === ablated.align);
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

/** All settings of a rival but that which stands for it. */
function chosenRemark(equals: readonly MethodSummary[]): string[] {
  return [isGqa, isMixsga].flatMap((isRival) => {
    const [chosen, ...others] = equals.filter(isRival);
    if (others.length === 0) return [];
    const list = others.map((method) => `${method.name} (${perplexityText(method.perplexity.decode)})`).join(', ');
    return [`${chosen!.name} stands for ${isRival === isGqa ? 'GQA' : 'mixSGA'} because its perplexity is lower than that of ${list}.`];
  });
}

function driftRemark(mixsga: MethodSummary): string[] {
  const realised = mixsga.realisedKvBudget?.decode;
  if (realised === undefined || Math.abs(realised - mixsga.kvBudget) < 0.01) return [];
  const side = realised > mixsga.kvBudget ? 'more than it was given' : 'less than it was given';
  return [`Its decode routing really used ${percent(realised, 1)} of the KV cache, ${side}: nothing enforces the ratios there.`];
}

/** Methods of that budget that are neither rival and have a lower perplexity than both: the question is not about them, and the reader is. */
function othersRemark(rivals: readonly MethodSummary[], equals: readonly MethodSummary[]): string[] {
  const below = equals.slice(0, equals.findIndex((method) => rivals.includes(method)));
  if (below.length === 0) return [];
  const list = below.map((method) => `${method.name} (${perplexityText(method.perplexity.decode)})`).join(', ');
  return [`Lower than both at that budget: ${list}.`];
}

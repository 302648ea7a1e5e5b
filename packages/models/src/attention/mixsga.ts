import { ArgumentError } from '@mixsga/backend';
import { defaultGroupSizes, kvBudget, normaliseRatios, validateGroupSizes } from '@mixsga/experts';
import { parseCount } from './parse-count';
import type { AttentionKind, AttentionVariant } from './variant';

const NUMBER = /^-?(\d+\.?\d*|\.\d+)$/;
/** How far the ratios may be from the budget that a spec states. */
const BUDGET_TOLERANCE = 1e-3;

/** Mixture of weight-shared grouped attention experts (arXiv 2506.13541): each token is routed to a group size. */
export const mixsga = kindOf('mixsga', 'mean', 'tokens are routed, in these ratios, to experts of group sizes 1, 2, 4, ... or the given ones');

/**
 * mixSGA whose experts divide the sum of g heads by √g, not by g, so that the keys and values of every expert have the
 * same scale when the heads are independent. A change of this project to the method (docs/results.md).
 */
export const mixsgaRoot = kindOf('mixsga-root', 'root', 'the same, with the sum of g heads divided by √g in the place of their mean');

function kindOf(name: string, pooling: 'mean' | 'root', description: string): AttentionKind {
  return {
    form: `${name}:RATIO:RATIO...[/RATIO:RATIO... for each layer][@SIZE,SIZE...][=BUDGET]`,
    example: `${name}:3:1:6`,
    description,
    parse(parameters) {
      const [, layersText, sizeText, budgetText] = /^([^@=]+)(?:@([^@=]+))?(?:=([^@=]+))?$/.exec(parameters ?? '') ?? [];
      if (layersText === undefined) return null;
      const lists = layersText.split('/').map((list) => list.split(':').map(parseNumber));
      const sizes = sizeText?.split(',').map(parseCount) ?? defaultGroupSizes(lists[0]!.length);
      const budget = budgetText === undefined ? undefined : parseNumber(budgetText);
      if (!lists.every(isNumbers) || !isNumbers(sizes) || budget === null) return null;
      return variantOf({ name, pooling, lists, sizes, budget });
    },
  };
}

interface Mixture {
  readonly name: string;
  readonly pooling: 'mean' | 'root';
  /** Ratios of each layer, or one list for all. */
  readonly lists: readonly (readonly number[])[];
  readonly sizes: readonly number[];
  /** As stated. */
  readonly budget: number | undefined;
}

function variantOf({ name, pooling, lists, sizes, budget }: Mixture): AttentionVariant {
  const experts = lists[0]!.length;
  const unequal = lists.find(({ length }) => length !== experts);
  if (unequal) {
    throw new ArgumentError(`${name}: expected as many ratios for every layer, got ${experts} and ${unequal.length}; an expert without tokens has ratio 0`);
  }
  if (sizes.length !== experts) {
    throw new ArgumentError(`${name}: expected as many group sizes as ratios, got ${experts} ratios and ${sizes.length} sizes`);
  }
  const byLayer = lists.map(normaliseRatios);
  const kept = mean(lists.map((list) => kvBudget(list, sizes)));
  if (budget !== undefined && !(Math.abs(kept - budget) <= BUDGET_TOLERANCE)) {
    throw new ArgumentError(
      `${name}: expected ratios that keep ${budget} of the KV cache, as the spec states, got ${Number(kept.toFixed(6))}; change the ratios or the budget`,
    );
  }
  const isDefault = String(sizes) === String(defaultGroupSizes(experts));
  return {
    spec: [
      `${name}:${lists.map((list) => list.join(':')).join('/')}`,
      isDefault ? '' : `@${sizes.join(',')}`,
      budget === undefined ? '' : `=${budget}`,
    ].join(''),
    kvBudget: kept,
    experts: {
      ratios: sizes.map((_, expert) => mean(byLayer.map((ratios) => ratios[expert]!))),
      ratiosOf: (layer) => byLayer[byLayer.length === 1 ? 0 : layer]!,
      withRatios: (own, stated) => variantOf({ name, pooling, lists: own.map(rounded), sizes, budget: stated }),
      groupSizes: sizes,
      pooling,
    },
    storedKvHeads: (kvHeads) => kvHeads,
    kvSource: (layer) => layer,
    validate({ kvHeads, layers }) {
      validateGroupSizes(sizes, kvHeads);
      if (lists.length === 1 || lists.length === layers) return;
      throw new ArgumentError(
        `${name}: expected ratios for each of the ${layers} layers, or one list for all, got ${lists.length} lists; separate them by /`,
      );
    },
  };
}

function rounded(ratios: readonly number[]): number[] {
  return ratios.map((ratio) => Number(ratio.toFixed(4)));
}

/** A number whose digits are plain, also when it is written again; null for anything else. */
function parseNumber(text: string): number | null {
  const value = Number(text);
  return NUMBER.test(text) && !String(value).includes('e') ? value : null;
}

function isNumbers(values: (number | null)[]): values is number[] {
  return !values.includes(null);
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b) / values.length;
}

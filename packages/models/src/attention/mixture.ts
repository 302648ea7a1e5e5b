// The specs of variants whose tokens are routed: NAME:RATIO:RATIO…[/RATIO:RATIO…][@SIZE,SIZE…][=BUDGET].
import { ArgumentError } from '@mixsga/backend';
import { kvShare, normaliseRatios } from '@mixsga/experts';
import type { AttentionKind, AttentionShape, AttentionVariant, LayerFormats } from './variant';

const NUMBER = /^-?(\d+\.?\d*|\.\d+)$/;
/** How far the ratios may be from the budget that a spec states. */
const BUDGET_TOLERANCE = 1e-3;

/** What tells one kind of mixture from another. A size is what an expert's place in the spec says of it. */
export interface MixtureForm<Size> {
  readonly name: string;
  readonly description: string;
  /** Of the ratios and sizes, after the name and a colon; with sizes where a spec always has to name them. */
  readonly example: string;
  /** @returns null when the text is no size */
  parseSize(text: string): Size | null;
  /** The canonical text of a size, which {@link parseSize} reads back. */
  formatSize(size: Size): string;
  /** Sizes for a number of experts where the spec names none; null: it has to, for that number or, as {@link example} shows, for any. */
  defaultSizes(experts: number): readonly Size[] | null;
  /** How many times fewer numbers than the unmodified model an expert of a size stores of a token. */
  compression(size: Size): number;
  /** How experts of these sizes store tokens. @throws ArgumentError when they do not go together */
  formats(sizes: readonly Size[]): LayerFormats;
  /** @throws ArgumentError when the sizes do not fit the model, saying what would */
  check(sizes: readonly Size[], shape: AttentionShape): void;
}

/**
 * A kind of attention whose tokens are routed to experts by ratios, which may differ by layer. Where a single expert takes all, and heads
 * are not grouped by the fused operations, nothing is routed.
 */
export function mixtureKind<Size>(form: MixtureForm<Size>): AttentionKind {
  const { name, description, example } = form;
  const needsSizes = example.includes('@');
  const sizes = needsSizes ? '@SIZE,SIZE...' : '[@SIZE,SIZE...]';
  return {
    form: `${name}:RATIO:RATIO...[/RATIO:RATIO... for each layer]${sizes}[=BUDGET]`,
    example: `${name}:${example}`,
    description,
    parse(parameters) {
      const [, layersText, sizeText, budgetText] = /^([^@=]+)(?:@([^@=]+))?(?:=([^@=]+))?$/.exec(parameters ?? '') ?? [];
      if (layersText === undefined) return null;
      const lists = layersText.split('/').map((list) => list.split(':').map(parseNumber));
      const experts = lists[0]!.length;
      const sizes = sizeText?.split(',').map((text) => form.parseSize(text)) ?? form.defaultSizes(experts);
      const budget = budgetText === undefined ? undefined : parseNumber(budgetText);
      if (!sizes && !needsSizes) {
        throw new ArgumentError(`${name}: expected a size for each of ${experts} experts, such as ${name}:${layersText}@SIZE,SIZE..., got none, and for so many there is no default`);
      }
      if (!lists.every((list) => isWhole(list)) || !sizes || !isWhole(sizes) || budget === null) return null;
      return variantOf(form, { lists, sizes, budget });
    },
  };
}

interface Mixture<Size> {
  /** Ratios of each layer, or one list for all. */
  readonly lists: readonly (readonly number[])[];
  readonly sizes: readonly Size[];
  /** As stated. */
  readonly budget: number | undefined;
}

function variantOf<Size>(form: MixtureForm<Size>, { lists, sizes, budget }: Mixture<Size>): AttentionVariant {
  const { name } = form;
  const experts = lists[0]!.length;
  const unequal = lists.find(({ length }) => length !== experts);
  if (unequal) {
    throw new ArgumentError(`${name}: expected as many ratios for every layer, got ${experts} and ${unequal.length}; an expert without tokens has ratio 0`);
  }
  if (sizes.length !== experts) {
    throw new ArgumentError(`${name}: expected as many group sizes as ratios, got ${experts} ratios and ${sizes.length} sizes`);
  }
  const compressions = sizes.map((size) => form.compression(size));
  const byLayer = lists.map(normaliseRatios);
  const kept = mean(lists.map((list) => kvShare(list, compressions)));
  if (budget !== undefined && !(Math.abs(kept - budget) <= BUDGET_TOLERANCE)) {
    throw new ArgumentError(
      `${name}: expected ratios that keep ${budget} of the KV cache, as the spec states, got ${Number(kept.toFixed(6))}; change the ratios or the budget`,
    );
  }
  const formats = form.formats(sizes);
  const texts = sizes.map((size) => form.formatSize(size));
  const isDefault = String(texts) === String(form.defaultSizes(experts)?.map((size) => form.formatSize(size)));
  const mixture: AttentionVariant['experts'] = {
    ratios: sizes.map((_, expert) => mean(byLayer.map((ratios) => ratios[expert]!))),
    ratiosOf: (layer) => byLayer[byLayer.length === 1 ? 0 : layer]!,
    withRatios: (own, stated) => variantOf(form, { lists: own.map(rounded), sizes, budget: stated }),
    sizes: compressions,
  };
  return {
    spec: [
      `${name}:${lists.map((list) => list.join(':')).join('/')}`,
      isDefault ? '' : `@${texts.join(',')}`,
      budget === undefined ? '' : `=${budget}`,
    ].join(''),
    kvShare: kept,
    experts: experts === 1 && !formats.grouping ? null : mixture,
    formats,
    storedKvHeads: (kvHeads) => kvHeads,
    kvSource: (layer) => layer,
    validate(shape) {
      form.check(sizes, shape);
      expectRotation(name, formats, shape);
      if (lists.length === 1 || lists.length === shape.layers) return;
      throw new ArgumentError(
        `${name}: expected ratios for each of the ${shape.layers} layers, or one list for all, got ${lists.length} lists; separate them by /`,
      );
    },
  };
}

/** @throws ArgumentError when keys are turned and the experts can't take them */
export function expectRotation(name: string, { takesRotatedKeys }: LayerFormats, { rotary }: AttentionShape): void {
  if (!rotary || takesRotatedKeys) return;
  throw new ArgumentError(
    `${name}: expected a model whose positions are learned, such as opt, got one whose keys are turned by their positions (rotary), for which there is no fixed basis; use mixsga or gqa`,
  );
}

function rounded(ratios: readonly number[]): number[] {
  return ratios.map((ratio) => Number(ratio.toFixed(4)));
}

/** A number whose digits are plain, also when it is written again; null for anything else. */
export function parseNumber(text: string): number | null {
  const value = Number(text);
  return NUMBER.test(text) && !String(value).includes('e') ? value : null;
}

function isWhole<T>(values: readonly (T | null)[]): values is T[] {
  return !values.includes(null);
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b) / values.length;
}

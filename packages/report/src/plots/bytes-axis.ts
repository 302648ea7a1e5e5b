import { budgetText, count } from '../format';

/** Marks of the axis, as shares of the unmodified cache. */
const BUDGETS = [0.03125, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1];

/** The axis of every plot against the KV cache: bytes per token, logarithmic, with the share of the unmodified cache below. */
export interface BytesAxis {
  /** The channel of a Vega-Lite chart whose rows have their bytes in `field`. */
  channel(field: string): object & { field: string };
  /** Place on the axis, in pixels. */
  pixel(bytes: number): number;
  /** The bytes at `pixels` to the right of some others. */
  shifted(bytes: number, pixels: number): number;
}

/**
 * @param bytes of all marks
 * @param full bytes of the unmodified model; null where the marks are of several models, which have no share in common
 * @param width of the plot, in pixels
 */
export function bytesAxis(bytes: readonly number[], full: number | null, width: number, what = 'under decode routing with the expert index'): BytesAxis {
  const [low, high] = [0.9 * Math.min(...bytes), 1.08 * Math.max(full ?? 0, ...bytes)];
  const octaves = Math.log2(high / low);
  const budgets = full === null ? [] : BUDGETS.filter((budget) => budget * full > low);
  const title = `KV cache, bytes per token ${what}${full === null ? '' : '; share of the unmodified one'}`;
  const ticks = full !== null && {
    values: budgets.map((budget) => budget * full),
    labelExpr: budgets.reduceRight((rest, budget) => `datum.value === ${budget * full} ? ${JSON.stringify([count(budget * full), budgetText(budget)])} : ${rest}`, `''`),
  };
  return {
    channel: (field) => ({
      field,
      type: 'quantitative' as const,
      scale: { type: 'log' as const, base: 2, domain: [low, high], nice: false },
      axis: { title, ...(ticks || { format: ',' }) },
    }),
    pixel: (value) => (width * Math.log2(value / low)) / octaves,
    shifted: (value, pixels) => value * 2 ** ((pixels * octaves) / width),
  };
}

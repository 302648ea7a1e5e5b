import type { Spread } from '@mixsga/evaluators';

/** 0.5 as `50 %`. */
export function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A KV budget: `50 %`, `12.5 %`. */
export function budgetText(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`;
}

/** A perplexity with its range over seeds, where they differ: `41.20 (41.02 to 41.37)`. */
export function perplexityText({ mean, min, max }: Spread): string {
  return min === max ? number(mean) : `${number(mean)} (${number(min)} to ${number(max)})`;
}

/** Any metric with its range over seeds, where they differ. */
export function metricText({ mean, min, max }: Spread): string {
  return min === max ? digits(mean) : `${digits(mean)} (${digits(min)} to ${digits(max)})`;
}

/** Four digits, and all of a whole number. */
function digits(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(4)));
}

/** By how much of the higher mean the lower one is lower: `6.2 %`. */
export function lowerBy(lower: Spread, higher: Spread): string {
  return smallPercent((higher.mean - lower.mean) / higher.mean);
}

/** By how much of the lower mean the higher one is higher: `6.6 %`. */
export function higherBy(lower: Spread, higher: Spread): string {
  return smallPercent((higher.mean - lower.mean) / lower.mean);
}

function smallPercent(share: number): string {
  return percent(share, share < 0.0095 ? 2 : 1);
}

/** A perplexity: two decimals, and none from 1000 on. */
export function number(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(2);
}

/** A count with thousands set apart: `1,070,000`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** Shares in percent, as ratios are written: `30:10:60`. */
export function ratioText(ratios: readonly number[]): string {
  return ratios.map((ratio) => Math.round(100 * ratio)).join(':');
}

/** `45 s`, `7 min`, `3.2 h`. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

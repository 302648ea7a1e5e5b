/** NaN of no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Mean and range of some values. */
export interface Spread {
  mean: number;
  min: number;
  max: number;
}

/** @param values one or more */
export function spread(values: readonly number[]): Spread {
  return { mean: mean(values), min: Math.min(...values), max: Math.max(...values) };
}

/** The middle value, or the mean of the middle two; NaN of no values. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/**
 * The value below which a share of the values lies, linear between the two nearest; NaN of no values.
 * @param share from 0 (the lowest) to 1 (the highest)
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (at % 1) * (sorted[Math.ceil(at)]! - below);
}

/** The sample standard deviation (n − 1); null of fewer than 2 values. */
export function standardDeviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** The standard error of the mean of independent values; null of fewer than 2. */
export function standardError(values: readonly number[]): number | null {
  const deviation = standardDeviation(values);
  return deviation === null ? null : deviation / Math.sqrt(values.length);
}

/** The mean of the values of each group, groups in the order in which they first come. */
export function groupMeans<Item>(items: readonly Item[], group: (item: Item) => number, value: (item: Item) => number): Map<number, number> {
  const groups = new Map<number, number[]>();
  for (const item of items) {
    const values = groups.get(group(item));
    if (values) values.push(value(item));
    else groups.set(group(item), [value(item)]);
  }
  return new Map([...groups].map(([key, values]) => [key, mean(values)]));
}

/** NaN of no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The middle value, or the mean of the middle two; NaN of no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
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

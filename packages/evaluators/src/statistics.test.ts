import { describe, expect, it } from 'vitest';

import { groupMeans, mean, median, quantile, spread, standardDeviation, standardError } from './statistics';

describe('statistics', () => {
  it('are those of the textbooks', () => {
    const values = [2, 4, 4, 4, 5, 5, 7, 9];
    expect(mean(values)).toBe(5);
    expect(standardDeviation(values)).toBeCloseTo(Math.sqrt(32 / 7), 12);
    expect(standardError(values)).toBeCloseTo(Math.sqrt(32 / 7 / 8), 12);
    expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])]).toEqual([2, 2.5, 7]);
    expect(median([])).toBeNaN();
    expect([0, 0.25, 0.5, 0.9, 1].map((share) => quantile([3, 1, 5, 2], share))).toEqual([1, 1.75, 2.5, 4.4, 5]);
    expect(spread([4, 1, 4])).toEqual({ mean: 3, min: 1, max: 4 });
  });

  it('are null where there is no spread to see', () => {
    expect([standardDeviation([1]), standardError([1]), standardDeviation([]), standardError([])]).toEqual([null, null, null, null]);
    expect(standardError([3, 3])).toBe(0);
  });

  it('average groups in the order in which they come', () => {
    const means = groupMeans([[2, 1], [1, 5], [2, 4]] as const, ([group]) => group, ([, value]) => value);
    expect([...means]).toEqual([[2, 2.5], [1, 5]]);
  });
});

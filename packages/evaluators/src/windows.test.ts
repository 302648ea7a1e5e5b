import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { batches, planWindows } from './windows';

const tokens = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

/** The predicted tokens that a plan counts, in order. */
function countedTargets(count: number, options: Parameters<typeof planWindows>[3]): number[] {
  const seen: number[] = [];
  for (const batch of batches(tokens(count), planWindows('test', count, 8, options))) {
    batch.windows.forEach((window, row) => {
      const from = row * batch.length;
      seen.push(...batch.targets.subarray(from + window.counted, from + batch.length));
    });
  }
  return seen;
}

describe('windows', () => {
  it.each([2, 8, 9, 10, 16, 17, 18, 37])('count every token of %i but the first exactly once', (count) => {
    for (const windowLength of [1, 3, 8]) {
      for (let stride = 1; stride <= windowLength; stride++) {
        expect(countedTargets(count, { windowLength, stride, batchSize: 3 })).toEqual([...tokens(count).subarray(1)]);
      }
    }
  });

  it('pair each input with the token after it', () => {
    for (const batch of batches(tokens(30), planWindows('test', 30, 8, { stride: 5, batchSize: 2 }))) {
      expect(batch.inputs).toHaveLength(batch.windows.length * batch.length);
      batch.inputs.forEach((input, i) => expect(batch.targets[i]).toBe(input + 1));
    }
  });

  it('run the shorter last window apart from full ones', () => {
    const shapes = [...batches(tokens(20), planWindows('test', 20, 8, { batchSize: 4 }))].map((b) => [b.windows.length, b.length]);
    expect(shapes).toEqual([[2, 8], [1, 3]]);
  });

  it('are spread evenly over the stream where there are too many', () => {
    const starts = (maxWindows: number) => planWindows('test', 100, 8, { windowLength: 4, maxWindows }).windows.map((w) => w.start);
    expect(starts(5)).toEqual([0, 20, 40, 60, 80]);
    expect(starts(1)).toEqual([0]);
    expect(starts(25)).toEqual(starts(1000));
    expect(countedTargets(100, { windowLength: 4, maxWindows: 2 })).toEqual([1, 2, 3, 4, 49, 50, 51, 52]);
  });

  it.each([
    [{ windowLength: 9 }, 'windowLength'],
    [{ windowLength: 4, stride: 5 }, 'stride'],
    [{ stride: 0 }, 'stride'],
    [{ batchSize: 1.5 }, 'batchSize'],
    [{ maxWindows: 0 }, 'maxWindows'],
  ])('refuse %j', (options, name) => {
    expect(() => planWindows('perplexity', 100, 8, options)).toThrow(ArgumentError);
    expect(() => planWindows('perplexity', 100, 8, options)).toThrow(new RegExp(`^perplexity: expected ${name} .* got `));
  });

  it('refuse a stream without a prediction', () => {
    expect(() => planWindows('perplexity', 1, 8, {})).toThrow(/at least 2 tokens .* got 1$/);
  });
});

import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { batchesOfOneLength, cutWindows, type WindowOptions } from './windows';

const tokens = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

/** The predicted tokens that the windows count, in order. */
function countedTargets(count: number, options: WindowOptions): number[] {
  return cutWindows('test', tokens(count), 8, options).flatMap(({ tokens, counted }) => [...tokens.subarray(1 + counted)]);
}

describe('windows', () => {
  it.each([2, 8, 9, 10, 16, 17, 18, 37])('count every token of %i but the first exactly once', (count) => {
    for (const windowLength of [1, 3, 8]) {
      for (let stride = 1; stride <= windowLength; stride++) {
        expect(countedTargets(count, { windowLength, stride })).toEqual([...tokens(count).subarray(1)]);
      }
    }
  });

  it('pair each input with the token after it', () => {
    for (const batch of batchesOfOneLength(cutWindows('test', tokens(30), 8, { stride: 5 }))) {
      expect(batch.inputs).toHaveLength(batch.windows * batch.length);
      batch.inputs.forEach((input, i) => expect(batch.targets[i]).toBe(input + 1));
    }
  });

  it('run the shorter last window apart from full ones', () => {
    const batches = [...batchesOfOneLength(cutWindows('test', tokens(20), 8, {}))];
    expect(batches.map(({ first, windows, length }) => [first, windows, length])).toEqual([[0, 2, 8], [2, 1, 3]]);
  });

  it('are spread evenly over the stream where there are too many', () => {
    const starts = (maxWindows: number) => cutWindows('test', tokens(100), 8, { windowLength: 4, maxWindows }).map((w) => w.tokens[0]);
    expect(starts(5)).toEqual([0, 20, 40, 60, 80]);
    expect(starts(1)).toEqual([0]);
    expect(starts(25)).toEqual(starts(1000));
    expect(countedTargets(100, { windowLength: 4, maxWindows: 2 })).toEqual([1, 2, 3, 4, 49, 50, 51, 52]);
  });

  it.each([
    [{ windowLength: 9 }, 'windowLength'],
    [{ windowLength: 4, stride: 5 }, 'stride'],
    [{ stride: 0 }, 'stride'],
    [{ windowLength: 1.5 }, 'windowLength'],
    [{ maxWindows: 0 }, 'maxWindows'],
  ])('refuse %j', (options, name) => {
    expect(() => cutWindows('perplexity', tokens(100), 8, options)).toThrow(ArgumentError);
    expect(() => cutWindows('perplexity', tokens(100), 8, options)).toThrow(new RegExp(`^perplexity: expected ${name} .* got `));
  });

  it('refuse a stream without a prediction', () => {
    expect(() => cutWindows('perplexity', tokens(1), 8, {})).toThrow(/at least 2 tokens .* got 1$/);
  });
});

import { SeededRandom } from '@mixsga/backend';
import { describe, expect, it, vi } from 'vitest';

import { type Contender, timeSteps } from './contender';
import { measured, ratioErrorOf, ratioOf, runRounds } from './rounds';

describe('runRounds', () => {
  it('gives everyone a turn in every round, in both orders, after one that is not counted', async () => {
    const turns: string[] = [];
    const contender = (label: string): Contender => ({
      label,
      run: (seconds) => {
        turns.push(`${label}${seconds}`);
        return Promise.resolve({ steps: turns.length, seconds: 1 });
      },
      dispose: () => {},
    });
    const slices = await runRounds([contender('a'), contender('b')], {
      rounds: 3,
      secondsPerSlice: 2,
      onRound: () => turns.push('|'),
    });
    expect(turns).toEqual(['a0', 'b0', '|', 'a2', 'b2', '|', 'b2', 'a2', '|', 'a2', 'b2']);
    expect(slices.map((row) => row.map(({ steps }) => steps))).toEqual([[4, 8, 10], [5, 7, 11]]);
  });
});

describe('ratioOf', () => {
  it('compares within rounds, so that a machine that slows down does not count', () => {
    const slice = (steps: number) => ({ steps, seconds: 2 });
    // Twice as fast in each round, while the machine gets ten times slower.
    expect(ratioOf([slice(200), slice(60), slice(20)], [slice(100), slice(30), slice(10)])).toBe(2);
    expect(measured([5, 1, 2, 8])).toEqual({ median: 3.5, min: 1, max: 8 });
  });

  it('reports its standard error, which is that of medians of as many normal ratios', () => {
    const random = new SeededRandom(7);
    const slice = (steps: number) => ({ steps, seconds: 1 });
    const even = Array.from({ length: 32 }, () => slice(1));
    const draws = Array.from({ length: 400 }, () => {
      const ratios = even.map(() => slice(1 + 0.05 * random.normal()));
      return { ratio: ratioOf(ratios, even), error: ratioErrorOf(ratios, even) };
    });
    const spread = Math.sqrt(draws.reduce((sum, { ratio }) => sum + (ratio - 1) ** 2, 0) / draws.length);
    const told = draws.reduce((sum, { error }) => sum + error, 0) / draws.length;
    expect(told / spread).toBeGreaterThan(0.9);
    expect(told / spread).toBeLessThan(1.1);
    expect(ratioErrorOf([slice(1)], [slice(1)])).toBe(0);
  });
});

describe('timeSteps', () => {
  it('takes at least one step, restores after each, and does not count the time of that', async () => {
    let clock = 0;
    let restored = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    const step = async () => {
      clock += 2;
    };
    const restore = () => {
      clock += 20;
      restored += 1;
    };
    expect(await timeSteps(0, step, restore)).toEqual({ steps: 1, seconds: 0.002 });
    expect(await timeSteps(0.005, step, restore)).toEqual({ steps: 3, seconds: 0.006 });
    expect(restored).toBe(4);
    vi.restoreAllMocks();
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateRatios, ratioLadder, type Rung } from './allocate';
import { kvShare } from './budget';

const SIZES = [1, 2, 4];
const LADDER = ratioLadder([3, 1, 6], SIZES, 2);
const rungs = (...losses: number[]): Rung[] => losses.map((loss, i) => ({ ratios: LADDER[i]!, loss }));
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;

describe('ratioLadder', () => {
  it('goes through the given ratios at equal distances on either side', () => {
    expect(LADDER.map((ratios) => kvShare(ratios, SIZES))).toEqual([0.25, 0.375, 0.5, 0.75, 1].map((budget) => expect.closeTo(budget, 12) as number));
    expect([LADDER[0], LADDER[2], LADDER[4]]).toEqual([[0, 0, 1], [0.3, 0.1, 0.6], [1, 0, 0]]);
    expect(LADDER[1]!.map((ratio) => Number(ratio.toFixed(6)))).toEqual([0.15, 0.05, 0.8]);
  });

  it('has each rung once where the given ratios are an end', () => {
    expect(ratioLadder([0, 2], [1, 4], 2)).toEqual([[0, 1], [0.5, 0.5], [1, 0]]);
    expect(ratioLadder([1, 0], [1, 4], 1)).toEqual([[0, 1], [1, 0]]);
    expect(() => ratioLadder([1, 1], [1, 4], 0)).toThrow('ratioLadder: expected a whole number of steps from 1, got 0');
    expect(() => ratioLadder([1, 1], [1, 2, 4], 2)).toThrow('expected 3 ratios');
  });
});

describe('allocateRatios', () => {
  it('takes from the layer that loses least and gives to the one that loses most', () => {
    const { ratios, budgets, loss, uniformLoss } = allocateRatios(
      [rungs(0.02, 0.01, 0, 0, 0), rungs(0.9, 0.6, 0.4, 0.1, 0), rungs(0.2, 0.15, 0.1, 0.05, 0)], { budget: 0.5, groupSizes: SIZES },
    );
    // Layer 1 gains 1.2 a unit of budget up to 0.75; layer 0 loses 0.08 a unit; layer 2 stays.
    expect(budgets.map((budget) => Number(budget.toFixed(3)))).toEqual([0.25, 0.75, 0.5]);
    expect(ratios[0]!.map((ratio) => Number(ratio.toFixed(3)))).toEqual([0, 0, 1]);
    expect([loss, uniformLoss].map((value) => Number(value.toFixed(3)))).toEqual([0.22, 0.5]);
  });

  it('gives what is left of a step to a layer that can still take it', () => {
    const [first, second] = [rungs(10, 7, 5, 2, 0), rungs(0.4, 0.3, 0.2, 0.1, 0)];
    const step = (1 - 0.25) / 384;
    const { budgets, loss } = allocateRatios([first, second], { budget: (1 + 0.25 + 7.4 * step) / 2, groupSizes: SIZES });
    expect(budgets[0]).toBeCloseTo(1, 12);
    expect(budgets[1]).toBeCloseTo(0.25 + 7.4 * step, 12);
    expect(loss).toBeCloseTo(0.4 - (0.1 * 7.4 * step) / 0.125, 9);
  });

  it('finds what a greedy search misses: a layer that gains only when it gets much', () => {
    const late = rungs(1, 1, 1, 1, 0);
    const early = rungs(0.3, 0.2, 0.15, 0.05, 0);
    const { budgets } = allocateRatios([late, early, early], { budget: 0.5, groupSizes: SIZES });
    expect(budgets.map((budget) => Number(budget.toFixed(3)))).toEqual([1, 0.25, 0.25]);
  });

  it('stays uniform where nothing is gained, or nothing is left to choose', () => {
    const even = rungs(0.75, 0.625, 0.5, 0.25, 0);
    expect(allocateRatios([even, even], { budget: 0.4, groupSizes: SIZES }).budgets).toEqual([0.4, 0.4]);
    for (const budget of [0.25, 1]) {
      const { budgets } = allocateRatios([rungs(3, 2, 1, 1, 0), rungs(1, 0, 0, 0, 0)], { budget, groupSizes: SIZES });
      for (const own of budgets) expect(own).toBeCloseTo(budget, 12);
    }
  });

  const curve = fc.array(fc.double({ min: -1, max: 10, noNaN: true }), { minLength: 5, maxLength: 5 }).map((losses) => rungs(...losses));
  const problems = fc.record({ layers: fc.array(curve, { minLength: 1, maxLength: 6 }), budget: fc.double({ min: 0.25, max: 1, noNaN: true }) });

  it('meets the budget, and is never worse than uniform ratios', () => {
    fc.assert(
      fc.property(problems, ({ layers, budget }) => {
        const { ratios, budgets, loss, uniformLoss } = allocateRatios(layers, { budget, groupSizes: SIZES });
        expect(ratios).toHaveLength(layers.length);
        expect(mean(budgets)).toBeCloseTo(budget, 9);
        ratios.forEach((own, layer) => {
          expect(own.every((ratio) => ratio >= -1e-12)).toBe(true);
          expect(own.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
          expect(kvShare(own.map((ratio) => Math.max(0, ratio)), SIZES)).toBeCloseTo(budgets[layer]!, 9);
        });
        expect(loss).toBeLessThanOrEqual(uniformLoss);
      }),
      { numRuns: 50 },
    );
  });

  it('is as good as trying every choice of rungs', () => {
    // Budgets of 0.25, 0.5, 0.75 and 1, so that rungs lie on the search's steps.
    const even = [[0, 0, 1], [0, 1, 0], [1, 1, 0], [1, 0, 0]];
    const layer = fc.array(fc.nat(100), { minLength: 4, maxLength: 4 }).map((losses) => losses.map((loss, i) => ({ ratios: even[i]!, loss })));
    fc.assert(
      fc.property(fc.array(layer, { minLength: 3, maxLength: 3 }), fc.integer({ min: 0, max: 9 }), (layers, total) => {
        const budget = 0.25 + total / 12;
        const all = layers[0]!.flatMap((a, i) => layers[1]!.flatMap((b, j) => layers[2]!.flatMap((c, k) => (i + j + k === total ? a.loss + b.loss + c.loss : []))));
        expect(allocateRatios(layers, { budget, groupSizes: SIZES }).loss).toBeLessThanOrEqual(Math.min(...all) + 1e-6);
      }),
    );
  });

  it('says budgets in six digits', () => {
    const thirds = [{ ratios: [0, 1], loss: 1 }, { ratios: [1, 0], loss: 0 }];
    expect(() => allocateRatios([thirds], { budget: 0.2, groupSizes: [1, 3] })).toThrow('expected a budget from 0.333333 to 1, which');
  });

  it.each([
    ['no layer', [], 0.5, 'expected the rungs of a layer or more, got none'],
    ['one rung', [rungs(1)], 0.5, 'layer 0: expected two rungs or more, each with a larger budget than the one before, got 0.25'],
    ['rungs out of order', [rungs(1, 0).toReversed()], 0.5, 'got 0.375, 0.25'],
    ['other ends', [rungs(1, 1, 0), rungs(1, 0)], 0.3, 'expected every ladder to go from 0.25 to 0.5, as that of layer 0, got 0.25 to 0.375 of layer 1'],
    ['a loss that is none', [rungs(1, NaN)], 0.3, 'layer 0: expected finite losses, got NaN at 0.15:0.05:0.8'],
    ['a budget below the coarsest', [rungs(1, 1, 0)], 0.2, 'expected a budget from 0.25 to 0.5, which the ladder reaches, got 0.2'],
    ['a budget just below the coarsest', [rungs(1, 1, 0)], 0.249_999, 'got 0.249999'],
    ['a budget just above the finest', [rungs(1, 1, 0)], 0.500_001, 'got 0.500001'],
    ['no budget', [rungs(1, 1, 0)], NaN, 'got NaN'],
  ] as const)('refuses %s', (_, layers, budget, message) => {
    expect(() => allocateRatios(layers, { budget, groupSizes: SIZES })).toThrow(message);
  });
});

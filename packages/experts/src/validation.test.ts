import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capacities, defaultGroupSizes, kvShare, normaliseRatios, validateGroupSizes, validateRatios } from './index';

describe('validateRatios', () => {
  it.each([
    { ratios: [], experts: undefined, message: /at least one ratio, got none/ },
    { ratios: [3, 1], experts: 3, message: /expected 3 ratios, got 3:1; give one/ },
    { ratios: [3, 1], experts: 1, message: /expected 1 ratio, got 3:1; give one/ },
    { ratios: [3, -1, 6], experts: 3, message: /0 or more, got 3:-1:6/ },
    { ratios: [3, NaN, 6], experts: 3, message: /0 or more, got 3:NaN:6/ },
    { ratios: [Infinity, 1], experts: 2, message: /0 or more, got Infinity:1/ },
    { ratios: [0, 0, 0], experts: 3, message: /at least one above 0, got 0:0:0/ },
  ])('refuses $ratios', ({ ratios, experts, message }) => {
    expect(() => validateRatios(ratios, experts)).toThrow(message);
    expect(() => validateRatios(ratios, experts)).toThrow(ArgumentError);
  });

  it('takes a single expert, zeros beside others, and fractions', () => {
    for (const ratios of [[1], [0, 0, 1], [0.3, 0.1, 0.6]]) expect(() => validateRatios(ratios)).not.toThrow();
  });
});

describe('capacities', () => {
  it('rounds up, leaves less for later experts, and gives the rest to the last', () => {
    expect(capacities([3, 1, 6], 10)).toEqual([3, 1, 6]);
    expect(capacities([3, 1, 6], 11)).toEqual([4, 2, 5]);
    expect(capacities([1, 1, 1], 4)).toEqual([2, 2, 0]);
    expect(capacities([0.4, 0.4, 0.2], 1)).toEqual([1, 0, 0]);
    expect(capacities([1, 1, 0], 5)).toEqual([3, 2, 0]);
    expect(capacities([0, 0, 1], 5)).toEqual([0, 0, 5]);
    expect(capacities([3, 1, 6], 0)).toEqual([0, 0, 0]);
  });

  it('is free of rounding noise where the product is whole', () => {
    // 0.1 * 3 and the like lie a hair above the whole number in floating point.
    for (let tokens = 10; tokens <= 5000; tokens += 10) {
      expect(capacities([3, 1, 6], tokens)).toEqual([0.3, 0.1, 0.6].map((ratio) => Math.round(ratio * tokens)));
    }
  });

  it('sums to the tokens, within one token of each share taken so far', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 1, maxLength: 5 }), fc.nat(3000), (ratios, tokens) => {
        fc.pre(ratios.some((ratio) => ratio > 0));
        const taken = capacities(ratios, tokens);
        expect(taken.reduce((a, b) => a + b)).toBe(tokens);
        taken.forEach((count, expert) => {
          const share = normaliseRatios(ratios)[expert]! * tokens;
          expect(count).toBeGreaterThanOrEqual(0);
          if (expert < taken.length - 1) expect(count).toBeLessThan(share + 1);
        });
      }),
    );
  });

  it.each([-1, 1.5, NaN])('refuses %s tokens', (tokens) => {
    expect(() => capacities([1], tokens)).toThrow(/whole number of tokens/);
  });
});

describe('validateGroupSizes', () => {
  it.each([
    { sizes: [], message: /at least one, got none/ },
    { sizes: [1, 2, 3], message: /divisors of the 8 KV heads, got 1, 2, 3; replace 3 by one of 1, 2, 4, 8/ },
    { sizes: [1, 2.5], message: /whole numbers from 1, got 1, 2.5/ },
    { sizes: [0, 1], message: /whole numbers from 1, got 0, 1/ },
    { sizes: [1, 4, 2], message: /strictly increasing sizes, got 1, 4, 2/ },
    { sizes: [2, 2], message: /strictly increasing sizes, got 2, 2/ },
  ])('refuses $sizes of 8 KV heads', ({ sizes, message }) => {
    expect(() => validateGroupSizes(sizes, 8)).toThrow(message);
    expect(() => validateGroupSizes(sizes, 8)).toThrow(ArgumentError);
  });

  it('refuses KV heads that are no count', () => {
    expect(() => validateGroupSizes([1], 0)).toThrow(/KV heads from 1, got 0/);
  });

  it('takes the defaults wherever they fit', () => {
    expect(defaultGroupSizes(3)).toEqual([1, 2, 4]);
    for (const kvHeads of [4, 8, 12, 32]) expect(() => validateGroupSizes(defaultGroupSizes(3), kvHeads)).not.toThrow();
    expect(() => validateGroupSizes([1, 3, 6], 6)).not.toThrow();
  });
});

describe('kvShare', () => {
  it("gives the paper's budgets (Figure 3 and the default)", () => {
    const sizes = [1, 2, 4];
    expect(kvShare([0, 0, 1], sizes)).toBe(0.25);
    expect(kvShare([1, 1, 8], sizes)).toBe(0.35);
    expect(kvShare([3, 1, 6], sizes)).toBe(0.5);
    expect(kvShare([1, 1, 2], sizes)).toBe(0.5);
    expect(kvShare([1, 1, 0], sizes)).toBe(0.75);
    expect(kvShare([1], [2])).toBe(0.5);
  });

  it('is the same for ratios and their normal form', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), (ratios) => {
        const sizes = defaultGroupSizes(ratios.length);
        expect(kvShare(normaliseRatios(ratios), sizes)).toBeCloseTo(kvShare(ratios, sizes), 12);
      }),
    );
  });

  it('refuses a count or a size that does not fit', () => {
    expect(() => kvShare([1, 1], [1, 2, 4])).toThrow(/expected 3 ratios, got 1:1/);
    expect(() => kvShare([1, 1], [1, 0])).toThrow(/sizes that are numbers from 1, got 1, 0/);
  });
});

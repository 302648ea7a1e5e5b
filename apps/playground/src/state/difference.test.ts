import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { difference } from './difference';

const tokens = fc.array(fc.nat(4), { maxLength: 12 });

/** The length of a longest common subsequence, from its definition. */
function longest(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return 0;
  if (a[0] === b[0]) return 1 + longest(a.slice(1), b.slice(1));
  return Math.max(longest(a.slice(1), b), longest(a, b.slice(1)));
}

describe('difference', () => {
  it('leaves a longest common subsequence unmarked in both', () => {
    fc.assert(
      fc.property(tokens, tokens, (a, b) => {
        const { common, left, right } = difference(a, b);
        const same = a.filter((_, i) => !left[i]);
        expect(b.filter((_, i) => !right[i])).toEqual(same);
        expect(same).toHaveLength(common + longest(a.slice(common), b.slice(common)));
        expect(a.slice(0, common)).toEqual(b.slice(0, common));
        expect(a[common] === b[common] && common < Math.min(a.length, b.length)).toBe(false);
      }),
    );
  });

  it('compares very long texts place by place', () => {
    const a = Array.from({ length: 2100 }, (_, i) => i % 7);
    const { common, left, right } = difference(a, a.with(0, 9).with(2000, 9));
    expect(common).toBe(0);
    expect(left.flatMap((differs, i) => (differs ? i : []))).toEqual([0, 2000]);
    expect(right).toEqual(left);
  });
});

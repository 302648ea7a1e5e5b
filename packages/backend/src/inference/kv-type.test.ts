import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dequantiseHeads, headBytes, quantiseHeads } from './kv-type';

const heads = fc.integer({ min: 1, max: 9 }).chain((headDim) =>
  fc
    .array(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, max: Math.fround(1e37), min: Math.fround(-1e37) }), { minLength: headDim, maxLength: headDim }), { minLength: 1, maxLength: 4 })
    .map((rows) => ({ headDim, x: Float32Array.from(rows.flat()) })),
);

describe('quantiseHeads', () => {
  it('gives what quantises to the same again, each number within half a step', () => {
    fc.assert(
      fc.property(heads, ({ headDim, x }) => {
        const once = quantiseHeads(x, headDim);
        const back = dequantiseHeads(once);
        expect(quantiseHeads(back, headDim)).toEqual(once);
        back.forEach((value, i) => {
          const step = Math.max(once.scales[Math.floor(i / headDim)]!, 2 ** -99);
          expect(Math.abs(value - x[i]!)).toBeLessThanOrEqual(step * (0.5 + 127 * 2 ** -17));
          expect(Math.fround(value)).toBe(once.values[i]! * once.scales[Math.floor(i / headDim)]!);
        });
      }),
      { seed: 11, numRuns: 2000 },
    );
  });

  it('gives the largest number 127, and a scale of 17 bits', () => {
    const { values, scales } = quantiseHeads(Float32Array.of(0.3, -1, 0.5, 0, 0, 0, 5e-32, -2e-33, 0), 3);
    expect([...values]).toEqual([38, -127, 64, 0, 0, 0, 0, 0, 0]);
    expect([...scales]).toEqual([Math.round(2 ** 23 / 127) / 2 ** 23, 0, 0]);
  });

  it('makes a head NaN that has a number which is not finite, and no other', () => {
    for (const wrong of [NaN, Infinity, -Infinity]) {
      expect([...dequantiseHeads(quantiseHeads(Float32Array.of(1, wrong, 127, -127), 2))]).toEqual([NaN, NaN, 127, -127]);
    }
  });

  it('rounds halves to the even neighbour', () => {
    expect([...quantiseHeads(Float32Array.of(127, 0.5, 1.5, -0.5, -1.5, 2.5, -2.5), 7).values]).toEqual([127, 0, 2, 0, -2, 2, -2]);
  });
});

it('headBytes counts the numbers and the scale', () => {
  expect([headBytes('f32', 64), headBytes('int8', 64)]).toEqual([256, 68]);
});

import { describe, expect, it } from 'vitest';
import { gather, isContiguous, spanOf } from './strided';

describe('a strided view', () => {
  it.each<[number[], number[], number, boolean]>([
    [[], [], 1, true],
    [[1], [7], 1, true],
    [[5], [1], 5, true],
    [[5], [2], 9, false],
    [[5], [0], 1, false],
    [[2, 3], [3, 1], 6, true],
    [[2, 3], [4, 1], 7, false],
    [[3, 2], [1, 3], 6, false],
    [[2, 1, 3], [3, 99, 1], 6, true],
    [[2, 1, 3], [6, 3, 1], 9, false],
    [[4, 0], [9, 9], 0, true],
    [[2, 3, 4], [12, 4, 1], 24, true],
    [[2, 3, 4], [12, 1, 3], 24, false],
  ])('%j with strides %j spans %d elements', (shape, strides, span, contiguous) => {
    expect(spanOf({ shape, strides })).toBe(span);
    expect(isContiguous({ shape, strides })).toBe(contiguous);
  });

  it.each([1, 2, 4, 8])('is gathered row by row, of elements of %d bytes', (bytesPerValue) => {
    for (const [shape, strides] of [[[4, 3], [1, 4]], [[2, 3, 4], [12, 1, 3]], [[3], [5]], [[], []], [[2, 2, 2], [1, 9, 3]], [[3, 2], [0, 1]]] as const) {
      const span = Uint8Array.from({ length: spanOf({ shape, strides }) * bytesPerValue }, (_, i) => i * 37 + 1);
      const places = shape.reduce<number[]>((all, n, d) => all.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * strides[d]!)), [0]);
      const expected = places.flatMap((at) => [...span.subarray(at * bytesPerValue, (at + 1) * bytesPerValue)]);
      expect([...gather(span, { shape, strides }, bytesPerValue)]).toEqual(expected);
    }
  });
});

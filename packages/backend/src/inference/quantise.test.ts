import { expect, test } from 'vitest';
import { ArgumentError } from '../errors';
import { SeededRandom } from '../random';
import { quantiseRows, roundToBf16, widenBf16 } from './quantise';

test.each([
  [1, 0x3f80],
  [-2.5, 0xc020],
  // Between 1 and 1 + 2⁻⁷: the middle goes to the even neighbour, on either side of it to the nearer one.
  [1 + 2 ** -8, 0x3f80],
  [1 + 3 * 2 ** -8, 0x3f82],
  [1 + 2 ** -8 + 2 ** -23, 0x3f81],
  [1 + 2 ** -8 - 2 ** -23, 0x3f80],
  [-(1 + 3 * 2 ** -8), 0xbf82],
  [0, 0],
  [-0, 0x8000],
  [Infinity, 0x7f80],
  [-Infinity, 0xff80],
  [3.4028234663852886e38, 0x7f80],
  [1e-40, 1],
  [NaN, 0x7fc0],
])('bf16 of %d', (value, bits) => {
  expect([...roundToBf16(Float32Array.of(value))]).toEqual([bits]);
});

test('every bf16 number survives, from a view too', () => {
  const halves = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((half) => (half & 0x7fff) <= 0x7f80);
  expect(roundToBf16(widenBf16(halves))).toEqual(halves);
  expect([...roundToBf16(Float32Array.of(7, 1, 2).subarray(1))]).toEqual([0x3f80, 0x4000]);
});

test('bf16 errs by at most 2⁻⁸ of the value', () => {
  const random = new SeededRandom(1);
  const values = Float32Array.from({ length: 1000 }, () => random.normal());
  widenBf16(roundToBf16(values)).forEach((rounded, i) => {
    expect(Math.abs(rounded - values[i]!)).toBeLessThanOrEqual(Math.abs(values[i]!) * 2 ** -8);
  });
});

test('each row of int8 has its own scale, and errs by at most half of it', () => {
  const weight = Float32Array.of(1, -127, 63.6, 0, 0, 0, -0.02, 0.01, 0.005);
  const { values, scales } = quantiseRows(weight, 3, 3);
  expect([...values]).toEqual([1, -127, 64, 0, 0, 0, -127, 64, 32]);
  expect(scales).toEqual(Float32Array.of(1, 0, Math.fround(0.02) / 127));
  weight.forEach((w, i) => {
    const scale = scales[Math.floor(i / 3)]!;
    expect(Math.abs(values[i]! * scale - w)).toBeLessThanOrEqual(scale * 0.5001);
  });
});

test('int8 refuses what is not finite', () => {
  expect(() => quantiseRows(Float32Array.of(1, 2, 3, NaN), 2, 2)).toThrow(
    new ArgumentError('quantiseRows: expected finite weights, got NaN in row 1; use f32 or bf16 weights'),
  );
  expect(() => quantiseRows(Float32Array.of(Infinity), 1, 1)).toThrow(/got Infinity in row 0/);
});

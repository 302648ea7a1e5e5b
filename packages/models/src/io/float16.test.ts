import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './float16';

const half = (value: number) => float32ToFloat16(Float32Array.of(value))[0]!;
const brain = (value: number) => float32ToBfloat16(Float32Array.of(value))[0]!;
const anyFloat = fc.float({ noNaN: true });

/**
 * Rounding by its definition: among the non-negative finite values of the format, whose bit patterns count up
 * from 0, the nearest to |value|, the even pattern when two are as near; past the midpoint to the next power of
 * two, infinity.
 */
function nearestByDefinition(value: number, values: Float64Array, infinity: number, overflow: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (magnitude >= overflow) return sign | infinity;
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle]! <= magnitude) low = middle;
    else high = middle - 1;
  }
  if (low === values.length - 1) return sign | low;
  const below = magnitude - values[low]!;
  const above = values[low + 1]! - magnitude;
  const up = above < below || (above === below && low % 2 === 1);
  return sign | (up ? low + 1 : low);
}

/** Finite values of a format with that many fraction bits and that exponent bias, by the IEEE 754 formula. */
function finiteValues(fractionBits: number, exponents: number, bias: number): Float64Array {
  const steps = 2 ** fractionBits;
  return Float64Array.from({ length: (exponents - 1) * steps }, (_, bits) => {
    const exponent = Math.floor(bits / steps);
    const fraction = (bits % steps) / steps;
    return exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  });
}

describe('half precision', () => {
  const values = finiteValues(10, 32, 15);

  it('decodes every finite bit pattern by the formula', () => {
    const decoded = float16ToFloat32(Uint16Array.from(values, (_, bits) => bits));
    expect(decoded).toEqual(Float32Array.from(values));
  });

  it('gives back every bit pattern but those of NaN', () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((b) => (b & 0x7fff) <= 0x7c00);
    expect(float32ToFloat16(float16ToFloat32(bits))).toEqual(bits);
  });

  it('rounds every float to the nearest, ties to even', () => {
    const near = fc.integer({ min: 0, max: values.length - 2 }).chain((i) =>
      // Values around and exactly at the midpoints of neighbours.
      fc.constantFrom(-1, 0, 1).map((step) => {
        const word = new Uint32Array(Float32Array.of((values[i]! + values[i + 1]!) / 2).buffer);
        word[0]! += step;
        return new Float32Array(word.buffer)[0]!;
      }),
    );
    fc.assert(
      fc.property(fc.oneof(anyFloat, near, fc.float({ min: -70000, max: 70000, noNaN: true })), (value) => {
        expect(half(value)).toBe(nearestByDefinition(value, values, 0x7c00, 65520));
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    [65504, 0x7bff],
    [65519.996, 0x7bff],
    [65520, 0x7c00],
    [Infinity, 0x7c00],
    [-Infinity, 0xfc00],
    [-0, 0x8000],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [2 ** -25 * 1.0001, 1],
    [1.5 * 2 ** -24, 2],
    [-(2 ** -14), 0x8400],
    [(1023.5 / 1024) * 2 ** -14, 0x400],
  ])('encodes %d', (value, bits) => expect(half(value)).toBe(bits));

  it('keeps NaN a NaN', () => {
    const payloads = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001, 0x7fc00000, 0x7fffffff).buffer);
    for (const bits of float32ToFloat16(payloads)) expect((bits & 0x7fff) > 0x7c00).toBe(true);
    expect(float16ToFloat32(Uint16Array.of(0x7e00, 0xfc01))).toEqual(Float32Array.of(NaN, NaN));
  });
});

describe('bfloat16', () => {
  it('gives back every bit pattern but those of NaN', () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((b) => (b & 0x7fff) <= 0x7f80);
    expect(float32ToBfloat16(bfloat16ToFloat32(bits))).toEqual(bits);
  });

  it('rounds every float to the nearest, ties to even', () => {
    const values = finiteValues(7, 256, 127);
    const overflow = (2 - 2 ** -8) * 2 ** 127;
    fc.assert(
      fc.property(anyFloat, (value) => {
        expect(brain(value)).toBe(nearestByDefinition(value, values, 0x7f80, overflow));
      }),
      { numRuns: 5000 },
    );
    expect(brain(1 + 2 ** -8)).toBe(0x3f80);
    expect(brain(1 + 3 * 2 ** -8)).toBe(0x3f82);
  });

  it('keeps NaN a NaN, also one whose payload is in the lower half', () => {
    const payloads = new Float32Array(Uint32Array.of(0x7f800001, 0xffffffff).buffer);
    for (const value of bfloat16ToFloat32(float32ToBfloat16(payloads))) expect(value).toBeNaN();
  });
});

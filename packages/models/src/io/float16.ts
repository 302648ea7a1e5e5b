/*
 * IEEE 754 half precision (F16) and bfloat16 (BF16), to and from single precision. Rounding is to nearest,
 * ties to even; subnormal numbers, infinities and signed zeros are kept; a NaN stays a NaN.
 */

const QUIET_BIT_F16 = 0x200;
const QUIET_BIT_BF16 = 0x40;

let halfTable: Float32Array | undefined;

/** The value of each of the 65,536 half-precision bit patterns. */
function halfValues(): Float32Array {
  return (halfTable ??= Float32Array.from({ length: 0x10000 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >>> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }));
}

/** Half-precision bit patterns to numbers, which `values` takes when it is given. */
export function float16ToFloat32(bits: Uint16Array, values = new Float32Array(bits.length)): Float32Array<ArrayBuffer> {
  const table = halfValues();
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!;
  return values;
}

/** Numbers to the nearest half-precision bit patterns; from 65,520 on that is infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) bits[i] = nearestHalf(words[i]!);
  return bits;
}

function nearestHalf(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7c00 | QUIET_BIT_F16 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65,520, halfway to the first value out of range
  if (magnitude >= 0x38800000) {
    // 2^-14 and above: normal. The exponent's bias changes from 127 to 15; a carry out of the fraction is right.
    const rebiased = magnitude - (112 << 23);
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign; // below 2^-25, half of the smallest subnormal
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23); // in units of 2^-24
  return sign | ((mantissa + (1 << (shift - 1)) - 1 + ((mantissa >>> shift) & 1)) >>> shift);
}

/** bfloat16 bit patterns to numbers, which `values` takes when it is given: exact, the upper half of a single. */
export function bfloat16ToFloat32(bits: Uint16Array, values = new Float32Array(bits.length)): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return values;
}

/** Numbers to the nearest bfloat16 bit patterns. */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = words[i]!;
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    bits[i] = isNaN ? (word >>> 16) | QUIET_BIT_BF16 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

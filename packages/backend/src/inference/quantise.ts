import { ArgumentError } from '../errors';

/** The nearest bfloat16 of each value, ties to even, as its 16 bits: the upper half of a float32. NaN stays NaN. */
export function roundToBf16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  // Adding just under half of the last place, and one more when that place is odd, carries exactly where it should.
  return Uint16Array.from(bits, (b, i) => (Number.isNaN(values[i]) ? 0x7fc0 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16));
}

/** The values of bfloat16 numbers, exactly. */
export function widenBf16(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

/** A matrix in 8 bits: element [o, i] stands for values[o, i] · scales[o]. */
export interface QuantisedRows {
  /** [outputs, inputs], each from −127 to 127. */
  readonly values: Int8Array;
  /** [outputs] */
  readonly scales: Float32Array;
}

/**
 * Symmetric quantisation of each row by itself: its largest absolute value becomes ±127, and 0 stays 0.
 *
 * @param weight [outputs, inputs]
 * @throws ArgumentError when a weight is not finite
 */
export function quantiseRows(weight: Float32Array, outputs: number, inputs: number): QuantisedRows {
  const values = new Int8Array(outputs * inputs);
  const scales = new Float32Array(outputs);
  for (let o = 0; o < outputs; o++) {
    const row = weight.subarray(o * inputs, (o + 1) * inputs);
    const misfit = row.find((w) => !Number.isFinite(w));
    if (misfit !== undefined) {
      throw new ArgumentError(`quantiseRows: expected finite weights, got ${misfit} in row ${o}; use f32 or bf16 weights`);
    }
    const largest = row.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
    scales[o] = largest / 127;
    // By the factor before its rounding to float32, which could be 0 for a subnormal row.
    if (largest > 0) row.forEach((w, i) => (values[o * inputs + i] = Math.round((w / largest) * 127)));
  }
  return { values, scales };
}

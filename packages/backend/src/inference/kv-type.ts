// The element types in which a cache keeps keys and values, or bits of a format's own.

/** `int8`: each stored head of a token in 8 bits with a float32 scale for its keys and one for its values. */
export const kvTypes = ['f32', 'int8'] as const;
export type KvType = (typeof kvTypes)[number];

/** Bytes of the keys, or of the values, of one stored head of a token. */
export function headBytes(type: KvType, headDim: number): number {
  return type === 'f32' ? 4 * headDim : headDim + 4;
}

/** How a format packs the numbers that it stores, where it has bits of its own. What is unpacked packs to the same bytes again. */
export interface Packing {
  /** Bytes of a token, scales and all. */
  readonly bytes: number;
  /** @param numbers float32 [heads, headDim] of a token @param to its {@link bytes} */
  pack(numbers: Float32Array, to: Uint8Array): void;
  /** The numbers that the bytes stand for. */
  unpack(bytes: Uint8Array, to: Float32Array): void;
}

/** Heads in 8 bits: number d of head h stands for values[h, d] · scales[h]. */
export interface QuantisedHeads {
  /** [heads, headDim], each from −127 to 127. */
  readonly values: Int8Array;
  /** float32 [heads] of 17 significant bits, so that products with 7 bits are exact. */
  readonly scales: Float32Array;
}

/** Below this all numbers of a head become 0: where a device may take float32 for 0. */
const LEAST = 2 ** -100;

/**
 * Symmetric quantisation of each head by itself: the scale is its largest absolute value over 127, rounded to 17 bits. By that
 * {@link dequantiseHeads} is exact, and its result quantises to the same numbers and scales again, also where division is off by a
 * few ulp. A head with a number that is not finite becomes NaN.
 *
 * @param x [heads, headDim]
 */
export function quantiseHeads(x: Float32Array, headDim: number): QuantisedHeads {
  const values = new Int8Array(x.length);
  const scales = new Float32Array(x.length / headDim);
  const bits = new Uint32Array(scales.buffer);
  scales.forEach((_, head) => {
    const own = x.subarray(head * headDim, (head + 1) * headDim);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest < LEAST) return;
    scales[head] = largest / 127;
    bits[head] = (bits[head]! + 64) & ~127;
    own.forEach((value, d) => (values[head * headDim + d] = roundHalfEven(value / scales[head]!)));
  });
  return { values, scales };
}

/** The numbers that they stand for, exactly: float32 [heads, headDim]. */
export function dequantiseHeads({ values, scales }: QuantisedHeads): Float32Array {
  const headDim = values.length / scales.length;
  return Float32Array.from(values, (value, i) => value * scales[Math.floor(i / headDim)]!);
}

/** As processors round: of two nearest integers the even one. */
function roundHalfEven(x: number): number {
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

// Keys, or values, of an arena as bytes: float32 [n, heads, headDim]; with int8 the numbers int8 [n, heads, headDim], zeros up to a
// multiple of 4 bytes, and their scales float32 [n, heads].
import { dequantiseHeads, quantiseHeads, type KvType } from '@mixsga/backend';

export interface RowFormat {
  readonly type: KvType;
  readonly heads: number;
  readonly headDim: number;
}

/** Bytes of the keys, or the values, of so many tokens. */
export function rowBytes({ type, heads, headDim }: RowFormat, tokens: number): number {
  const numbers = tokens * heads * headDim;
  return type === 'f32' ? 4 * numbers : 4 * Math.ceil(numbers / 4) + 4 * tokens * heads;
}

/**
 * The parts of {@link rowBytes}, each to be filled up to a multiple of 4 bytes. What a page gave quantises to what it holds.
 * @param pages float32 [tokens, heads, headDim], all but the last of a multiple of 4 tokens
 */
export function encodeRows({ type, headDim }: RowFormat, pages: readonly Float32Array[]): ArrayBufferView[] {
  if (type === 'f32') return [...pages];
  const quantised = pages.map((page) => quantiseHeads(page, headDim));
  return [...quantised.map(({ values }) => values), ...quantised.map(({ scales }) => scales)];
}

/** `count` tokens from `first` on of all that are in the bytes: float32 [count, heads, headDim]. */
export function decodeRows(format: RowFormat, bytes: Uint8Array, tokens: number, first: number, count: number): Float32Array {
  const { type, heads, headDim } = format;
  const width = heads * headDim;
  const floats = (at: number, length: number) => new Float32Array(bytes.slice(at, at + 4 * length).buffer);
  if (type === 'f32') return floats(4 * first * width, count * width);
  const values = new Int8Array(bytes.slice(first * width, (first + count) * width).buffer);
  const scalesAt = rowBytes(format, tokens) - 4 * tokens * heads;
  return dequantiseHeads({ values, scales: floats(scalesAt + 4 * first * heads, count * heads) });
}

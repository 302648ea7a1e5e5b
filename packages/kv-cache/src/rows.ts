// Keys, or values, of an arena as bytes: float32 [n, heads, headDim]; with int8 its elements int8 [n, heads, headDim], zeros up to a
// multiple of 4 bytes, and their scales float32 [n, heads]; of formats that pack their tokens, the bytes of one after the other.
import { dequantiseHeads, quantiseHeads, type KvType, type Packing } from '@mixsga/backend';

export interface RowFormat {
  readonly type: KvType;
  readonly heads: number;
  readonly headDim: number;
  readonly packing?: Packing;
}

/** Bytes of the keys, or the values, of a number of tokens. */
export function rowBytes({ type, heads, headDim, packing }: RowFormat, tokens: number): number {
  if (packing) return 4 * Math.ceil((tokens * packing.bytes) / 4);
  const numbers = tokens * heads * headDim;
  return type === 'f32' ? 4 * numbers : 4 * Math.ceil(numbers / 4) + 4 * tokens * heads;
}

/**
 * The parts of {@link rowBytes}, each to be filled up to a multiple of 4 bytes. What a page gave quantises to what it holds.
 * @param pages float32 [tokens, heads, headDim], all but the last of a multiple of 4 tokens
 */
export function encodeRows({ type, heads, headDim, packing }: RowFormat, pages: readonly Float32Array[]): ArrayBufferView[] {
  if (packing) return [packed(packing, heads * headDim, pages)];
  if (type === 'f32') return [...pages];
  const quantised = pages.map((page) => quantiseHeads(page, headDim));
  return [...quantised.map(({ values }) => values), ...quantised.map(({ scales }) => scales)];
}

/** `count` tokens from `first` on of all that are in the bytes: float32 [count, heads, headDim]. */
export function decodeRows(format: RowFormat, bytes: Uint8Array, tokens: number, first: number, count: number): Float32Array {
  const { type, heads, headDim, packing } = format;
  const width = heads * headDim;
  if (packing) return unpacked(packing, width, bytes.subarray(first * packing.bytes, (first + count) * packing.bytes));
  const floats = (at: number, length: number) => new Float32Array(bytes.slice(at, at + 4 * length).buffer);
  if (type === 'f32') return floats(4 * first * width, count * width);
  const values = new Int8Array(bytes.slice(first * width, (first + count) * width).buffer);
  const scalesAt = rowBytes(format, tokens) - 4 * tokens * heads;
  return dequantiseHeads({ values, scales: floats(scalesAt + 4 * first * heads, count * heads) });
}

function packed(packing: Packing, width: number, pages: readonly Float32Array[]): Uint8Array {
  const tokens = pages.flatMap((page) => Array.from({ length: page.length / width }, (_, token) => page.subarray(token * width, (token + 1) * width)));
  const bytes = new Uint8Array(tokens.length * packing.bytes);
  tokens.forEach((numbers, token) => packing.pack(numbers, bytes.subarray(token * packing.bytes, (token + 1) * packing.bytes)));
  return bytes;
}

function unpacked(packing: Packing, width: number, bytes: Uint8Array): Float32Array {
  const numbers = new Float32Array((bytes.length / packing.bytes) * width);
  for (let token = 0; token * width < numbers.length; token++) {
    packing.unpack(bytes.subarray(token * packing.bytes, (token + 1) * packing.bytes), numbers.subarray(token * width, (token + 1) * width));
  }
  return numbers;
}

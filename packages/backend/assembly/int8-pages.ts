// Pages of int8: as pages.ts has them, but that each stored head of a token has its keys in 8 bits with a scale, and its values
// with another. Of each stored head in order:
//
//     scales  of the keys float32 [PAGE], of the values float32 [PAGE]
//     keys    int8 [PAGE / chunk, stride / 2, chunk, 2]   two neighbouring dimensions of a token together
//     values  int8 [stride / chunk, PAGE / 2, chunk, 2]   a dimension of two neighbouring tokens together
//
// Pairs are what one instruction multiplies and sums; what the stride adds to a head meets weights of zero.
// Quantisation is that of src/inference/kv-type.ts.

import { at } from './simd';
import { PAGE, stride } from './pages';

/** Bytes of the scales of a head. */
// @ts-ignore: decorator
@inline export const SCALES: usize = 8 * PAGE;

/** Bytes of a head of a page. */
// @ts-ignore: decorator
@inline
export function headBytes(width: i32): usize {
  return SCALES + 2 * PAGE * width;
}

/** Bytes of a page. */
export function int8PageBytes(heads: i32, headSize: i32): i32 {
  return heads * <i32>headBytes(stride(headSize));
}

/** As `writeToken`, quantised. */
export function writeInt8Token(page: usize, chunk: i32, token: i32, k: usize, v: usize, heads: i32, headSize: i32, step: i32): void {
  const width = stride(headSize);
  for (let j = 0; j < heads; j++) {
    const head = page + headBytes(width) * j;
    const from = at(j * step * headSize);
    for (let value = 0; value < 2; value++) {
      const x = (value ? v : k) + from;
      const scale = scaleOf(x, headSize);
      store<f32>(head + at(value * PAGE + token), scale);
      for (let d = 0; d < headSize; d++) {
        store<i8>(head + numberAt(width, chunk, token, d, value), quantised(load<f32>(x + at(d)), scale));
      }
    }
  }
}

/** As `readToken`: what the numbers stand for. */
export function readInt8Token(page: usize, chunk: i32, token: i32, k: usize, v: usize, heads: i32, headSize: i32): void {
  const width = stride(headSize);
  for (let j = 0; j < heads; j++) {
    const head = page + headBytes(width) * j;
    const to = at(j * headSize);
    for (let value = 0; value < 2; value++) {
      const x = (value ? v : k) + to;
      const scale = load<f32>(head + at(value * PAGE + token));
      for (let d = 0; d < headSize; d++) {
        store<f32>(x + at(d), <f32>load<i8>(head + numberAt(width, chunk, token, d, value)) * scale);
      }
    }
  }
}

/** As `coarsenToken`, quantised anew. */
export function coarsenInt8Token(
  from: usize, fromChunk: i32, fromToken: i32, to: usize, toChunk: i32, toToken: i32,
  heads: i32, headSize: i32, groupSize: i32, factor: f32,
): void {
  const width = stride(headSize);
  for (let j = 0; j < heads; j++) {
    const fine = from + headBytes(width) * (j * groupSize);
    const coarse = to + headBytes(width) * j;
    for (let value = 0; value < 2; value++) {
      // The largest sum first, for the scale, then the sums again.
      let largest: f32 = 0;
      for (let d = 0; d < headSize; d++) {
        const sum = groupSum(fine, width, fromChunk, fromToken, d, groupSize, value) * factor;
        largest = max(largest, abs<f32>(sum));
      }
      const scale = scaleFor(largest);
      store<f32>(coarse + at(value * PAGE + toToken), scale);
      for (let d = 0; d < headSize; d++) {
        const sum = groupSum(fine, width, fromChunk, fromToken, d, groupSize, value) * factor;
        store<i8>(coarse + numberAt(width, toChunk, toToken, d, value), quantised(sum, scale));
      }
    }
  }
}

// Where in a head a number of a token's keys (0) or values (1) is.
// @ts-ignore: decorator
@inline
function numberAt(width: i32, chunk: i32, token: i32, d: i32, value: i32): usize {
  const mask = chunk - 1;
  if (value) return SCALES + PAGE * width + (d & ~mask) * PAGE + ((token >> 1) * chunk + (d & mask)) * 2 + (token & 1);
  return SCALES + (token & ~mask) * width + ((d >> 1) * chunk + (token & mask)) * 2 + (d & 1);
}

function groupSum(head: usize, width: i32, chunk: i32, token: i32, d: i32, groupSize: i32, value: i32): f32 {
  const number = numberAt(width, chunk, token, d, value);
  let sum: f32 = 0;
  for (let i = 0; i < groupSize; i++) {
    sum += <f32>load<i8>(head + number) * load<f32>(head + at(value * PAGE + token));
    head += headBytes(width);
  }
  return sum;
}

/** Heads [heads, headSize] become what int8 gives back of them. */
export function roundToInt8(x: usize, heads: i32, headSize: i32): void {
  for (let j = 0; j < heads; j++) {
    const scale = scaleOf(x, headSize);
    for (let d = 0; d < headSize; d++) store<f32>(x + at(d), <f32>quantised(load<f32>(x + at(d)), scale) * scale);
    x += at(headSize);
  }
}

export function scaleOf(x: usize, count: i32): f32 {
  let largest: f32 = 0;
  for (let d = 0; d < count; d++) largest = max(largest, abs<f32>(load<f32>(x + at(d))));
  return scaleFor(largest);
}

function scaleFor(largest: f32): f32 {
  if (largest < <f32>7.888609052210118e-31) return 0; // 2⁻¹⁰⁰
  return reinterpret<f32>((reinterpret<u32>(largest / 127) + 64) & ~127);
}

// @ts-ignore: decorator
@inline
export function quantised(x: f32, scale: f32): i8 {
  // Where the scale is not finite, the number does not matter.
  return scale == 0 ? 0 : <i8><i32>nearest<f32>(x / scale);
}

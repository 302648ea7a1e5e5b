// The layout of a page of the KV cache: PAGE tokens, for each stored head first the keys, then the values, so that decode
// reads a page from its first byte to its last.
//
//     keys    [PAGE / chunk, stride, chunk]   dimension d of `chunk` neighbouring tokens together
//     values  [stride / chunk, PAGE, chunk]   `chunk` neighbouring dimensions of a token together
//
// `chunk` is FOURS_CHUNK for pages whose stored heads serve query heads in fours, which work on that many elements at a time, and else CHUNK.
// `stride` is the head size rounded up to a multiple of 16; what that adds stays zero.

import { at } from './simd';

/** Tokens of a page: TOKENS_PER_PAGE of src/inference/pages.ts. */
// @ts-ignore: decorator
@inline export const PAGE: i32 = 32;
/** Numbers that one and two heads work on at a time. */
// @ts-ignore: decorator
@inline export const CHUNK: i32 = 16;
/** Numbers that four heads work on at a time. */
// @ts-ignore: decorator
@inline export const FOURS_CHUNK: i32 = 8;

// @ts-ignore: decorator
@inline
export function stride(headSize: i32): i32 {
  return (headSize + 15) & ~15;
}

/** Bytes of a page. */
export function pageBytes(heads: i32, headSize: i32): i32 {
  return 2 * 4 * PAGE * heads * stride(headSize);
}

export function clearPage(page: usize, bytes: i32): void {
  memory.fill(page, 0, bytes);
}

// @ts-ignore: decorator
@inline
function keyAt(head: usize, width: i32, chunk: i32, token: i32, d: i32): usize {
  return head + at((token & ~(chunk - 1)) * width + d * chunk + (token & (chunk - 1)));
}

// @ts-ignore: decorator
@inline
function valueAt(head: usize, width: i32, chunk: i32, token: i32, d: i32): usize {
  return head + at(PAGE * width + (d & ~(chunk - 1)) * PAGE + token * chunk + (d & (chunk - 1)));
}

/** Writes the k and v of one token; head j is at k + j·step·headSize, so that a step of g takes every g-th head. */
export function writeToken(page: usize, chunk: i32, token: i32, k: usize, v: usize, heads: i32, headSize: i32, step: i32): void {
  const width = stride(headSize);
  for (let j = 0; j < heads; j++) {
    const head = page + at(2 * PAGE * width * j);
    const from = at(j * step * headSize);
    for (let d = 0; d < headSize; d++) store<f32>(keyAt(head, width, chunk, token, d), load<f32>(k + from + at(d)));
    for (let d = 0; d < headSize; d++) store<f32>(valueAt(head, width, chunk, token, d), load<f32>(v + from + at(d)));
  }
}

/** Reads one token to k and v [heads, headSize]. */
export function readToken(page: usize, chunk: i32, token: i32, k: usize, v: usize, heads: i32, headSize: i32): void {
  const width = stride(headSize);
  for (let j = 0; j < heads; j++) {
    const head = page + at(2 * PAGE * width * j);
    const to = at(j * headSize);
    for (let d = 0; d < headSize; d++) store<f32>(k + to + at(d), load<f32>(keyAt(head, width, chunk, token, d)));
    for (let d = 0; d < headSize; d++) store<f32>(v + to + at(d), load<f32>(valueAt(head, width, chunk, token, d)));
  }
}

/**
 * One token of a page to a token of another that has `heads` heads: each is the sum of `groupSize` neighbouring ones, times
 * `factor`.
 */
export function coarsenToken(
  from: usize, fromChunk: i32, fromToken: i32, to: usize, toChunk: i32, toToken: i32,
  heads: i32, headSize: i32, groupSize: i32, factor: f32,
): void {
  const width = stride(headSize);
  const headBytes = at(2 * PAGE * width);
  for (let j = 0; j < heads; j++) {
    const fine = from + headBytes * (j * groupSize);
    const coarse = to + headBytes * j;
    for (let d = 0; d < headSize; d++) {
      let key = keyAt(fine, width, fromChunk, fromToken, d), value = valueAt(fine, width, fromChunk, fromToken, d);
      let k: f32 = 0, v: f32 = 0;
      for (let i = 0; i < groupSize; i++) {
        k += load<f32>(key);
        v += load<f32>(value);
        key += headBytes;
        value += headBytes;
      }
      store<f32>(keyAt(coarse, width, toChunk, toToken, d), k * factor);
      store<f32>(valueAt(coarse, width, toChunk, toToken, d), v * factor);
    }
  }
}

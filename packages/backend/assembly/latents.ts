// Attention of one token over latents: one vector of `rank` numbers for each cached token, which all query heads see as its key and as
// its value. Queries come as products with the latents' basis, and so go what is summed.
//
// A page has PAGE latents: float32 as pages.ts has values, [stride / 16, PAGE, 16]; or with int8 scales float32 [PAGE], then int8
// [PAGE, stride]. Keys are laid out anew for each page, [PAGE / 16, stride, 16]: that is one pass for all heads, and cheap beside them.

import { queriesInFours, scores1, scores2, scores4, values1, values2, values4 } from './f32-attention';
import { quantised, scaleOf } from './int8-pages';
import { beginSoftmax, endSoftmax, softmaxState, weigh } from './online-softmax';
import { CHUNK, PAGE, stride } from './pages';
import { isInt8, pageCount, pagesOf, segmentAfter, sizeOf, startOf, tokensOf } from './segments';
import { at, transpose } from './simd';

/** Bytes of a page. */
export function latentPageBytes(rank: i32, int8: bool): i32 {
  const width = stride(rank);
  return int8 ? PAGE * (4 + width) : 4 * PAGE * width;
}

// @ts-ignore: decorator
@inline
function numberAt(token: i32, d: i32): usize {
  return at((d & ~(CHUNK - 1)) * PAGE + token * CHUNK + (d & (CHUNK - 1)));
}

/** Writes a latent; what the stride adds to it becomes 0. */
export function writeLatent(page: usize, token: i32, x: usize, rank: i32, int8: bool): void {
  const width = stride(rank);
  if (int8) {
    const scale = scaleOf(x, rank);
    store<f32>(page + at(token), scale);
    const to = page + at(PAGE) + token * width;
    for (let d = 0; d < rank; d++) store<i8>(to + d, quantised(load<f32>(x + at(d)), scale));
    for (let d = rank; d < width; d++) store<i8>(to + d, 0);
  } else {
    for (let d = 0; d < rank; d++) store<f32>(page + numberAt(token, d), load<f32>(x + at(d)));
    for (let d = rank; d < width; d++) store<f32>(page + numberAt(token, d), 0);
  }
}

/** The first `rank` numbers of a latent of a page for `pageRank` of them: with int8 what they stand for. */
export function readLatent(page: usize, token: i32, to: usize, pageRank: i32, rank: i32, int8: bool): void {
  if (int8) {
    const scale = load<f32>(page + at(token));
    const from = page + at(PAGE) + token * stride(pageRank);
    for (let d = 0; d < rank; d++) store<f32>(to + at(d), <f32>load<i8>(from + d) * scale);
  } else {
    for (let d = 0; d < rank; d++) store<f32>(to + at(d), load<f32>(page + numberAt(token, d)));
  }
}

// Working memory: the state of the softmax, queries in fours, queries of shorter latents, keys as they are worked on, latents of int8 as
// float32.

/** Floats of the working memory for latents of up to `rank` numbers. */
export function latentWork(heads: i32, rank: i32): i32 {
  return softmaxState(heads, rank) + 2 * heads * rank + 2 * PAGE * stride(rank);
}

/**
 * out [heads, rank] = attention over `count` segments, as `attend` has it, of which a latent has up to `rank` numbers.
 * @param q [heads, rank], in the basis of the latents, times the scale of the scores and log2(e)
 */
export function attendLatents(
  q: usize, segments: usize, count: i32, heads: i32, rank: i32, work: usize, weights: usize, maxima: usize, out: usize,
): void {
  const fours = work + at(softmaxState(heads, rank));
  const shorter = fours + at(heads * rank);
  const rest = shorter + at(heads * rank);
  beginSoftmax(work, heads, rank);
  for (let segment = segments; count > 0; count--, segment = segmentAfter(segment)) {
    const numbers = sizeOf(segment);
    let query = q;
    if (numbers < rank) {
      for (let h = 0; h < heads; h++) memory.copy(shorter + at(h * numbers), q + at(h * rank), at(numbers));
      query = shorter;
    }
    queriesInFours(query, heads, numbers, fours);
    attendPages(query, fours, segment, heads, rank, work, rest, weights, maxima);
    if (maxima) {
      weights += at(pageCount(segment) * heads * PAGE);
      maxima += at(pageCount(segment) * heads);
    }
  }
  endSoftmax(work, heads, rank, out);
}

function attendPages(
  q: usize, fours: usize, segment: usize, heads: i32, stateRank: i32, state: usize, keys: usize, weights: usize, maxima: usize,
): void {
  const pages = pagesOf(segment), tokens = tokensOf(segment), rank = sizeOf(segment);
  const width = stride(rank), step = stride(stateRank);
  const widened = keys + at(PAGE * width);
  for (let first = 0; first < tokens; first += PAGE) {
    const page: usize = load<u32>(pages + at(first / PAGE));
    const count = min(PAGE, tokens - first);
    const hidden = first == 0 ? startOf(segment) : 0;
    let values = page;
    if (isInt8(segment)) {
      widen(page, width, count, widened);
      values = widened;
    }
    layOutKeys(values, width, count, keys);
    for (let h = 0, together = 0; h < heads; h += together) {
      together = heads - h >= 4 ? 4 : heads - h >= 2 ? 2 : 1;
      const query = (together == 4 ? fours : q) + at(h * rank);
      const row = weights + at(h * PAGE);
      if (together == 4) scores4(query, keys, CHUNK, rank, count, row);
      else if (together == 2) scores2(query, keys, rank, count, row);
      else scores1(query, keys, rank, count, row);
      weigh(row, h, together, count, hidden, heads, step, state, 0);
      const sums = state + at(h * step);
      if (together == 4) values4(row, values, CHUNK, width, count, sums, step);
      else if (together == 2) values2(row, values, width, count, sums, step);
      else values1(row, values, width, count, sums);
    }
    if (maxima) {
      memory.copy(maxima, state + at(heads * step), at(heads));
      weights += at(heads * PAGE);
      maxima += at(heads);
    }
  }
}

// The first `count` latents of a page of int8, and some more, as a page of float32.
function widen(page: usize, width: i32, count: i32, to: usize): void {
  for (let token = 0; token < count; token++) {
    const scale = v128.load32_splat(page + at(token));
    const from = page + at(PAGE) + token * width;
    for (let d = 0; d < width; d += 8) {
      const numbers = v128.load8x8_s(from + d);
      const x = to + numberAt(token, d);
      v128.store(x, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(numbers)), scale));
      v128.store(x, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(numbers)), scale), 16);
    }
  }
}

// [width / 16, PAGE, 16] to [PAGE / 16, width, 16], for the first `count` tokens and some more.
function layOutKeys(values: usize, width: i32, count: i32, keys: usize): void {
  for (let d = 0; d < width; d += 4) {
    for (let token = 0; token < count; token += 4) {
      const from = values + numberAt(token, d);
      const a = v128.load(from), b = v128.load(from, 4 * CHUNK), c = v128.load(from, 8 * CHUNK), e = v128.load(from, 12 * CHUNK);
      transpose(a, b, c, e, keys + at((token & ~(CHUNK - 1)) * width + d * CHUNK + (token & (CHUNK - 1))), 4 * CHUNK);
    }
  }
}

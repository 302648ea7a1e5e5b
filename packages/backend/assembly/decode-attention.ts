// Attention of one token's queries over cached keys and values that lie in pages (see pages.ts and int8-pages.ts for their
// layouts). One online softmax runs over everything; each cached number is read once, in the order in which it lies in memory, and
// serves all the query heads that share its stored head. One call takes all segments, since JavaScript between them would find its code
// and data gone from the processor's caches. The inner loops are in f32-attention.ts and int8-attention.ts.

import { queriesInFours, scores1, scores2, scores4, values1, values2, values4 } from './f32-attention';
import {
  finishScores, int8Scores1, int8Scores2, int8Scores4, int8Values1, int8Values2, int8Values4, int8Work, quantiseQueries, quantiseWeights,
} from './int8-attention';
import { headBytes as int8HeadBytes, SCALES } from './int8-pages';
import { beginSoftmax, endSoftmax, softmaxState, weigh } from './online-softmax';
import { FOURS_CHUNK, PAGE, stride } from './pages';
import { isInt8, pageCount, pagesOf, segmentAfter, sizeOf, startOf, tokensOf } from './segments';
import { at } from './simd';

// Working memory: the state of the softmax, scaled queries [heads, headSize], and queries in fours or what int8 works on.

/** Floats of the working memory. */
export function attendWork(heads: i32, headSize: i32): i32 {
  const numbers = heads * headSize;
  return softmaxState(heads, headSize) + numbers + max(numbers, int8Work(heads, stride(headSize)));
}

/**
 * out [heads, headSize] = attention of q over `count` segments (see segments.ts). Unless `cap` is 0, scores s are cap·tanh(s / cap). Where
 * `maxima` is not 0, row (page·heads + head) of `weights` [pages, heads, PAGE] becomes 2^(score·log2(e) − maximum), pages counted
 * through all segments, where the maximum is that of the moment, kept in the same row of `maxima` [pages, heads]; else `weights` has
 * room for a page.
 */
export function attend(
  q: usize, scale: f32, cap: f32, segments: usize, count: i32, heads: i32, headSize: i32,
  work: usize, weights: usize, maxima: usize, out: usize,
): void {
  const query = work + at(softmaxState(heads, headSize));
  const rest = query + at(heads * headSize);
  // The softmax is over powers of two.
  const log2e: f32 = 1.4426950408889634;
  const factor: f32 = cap ? scale / cap : scale * log2e;
  for (let i = 0; i < heads * headSize; i++) store<f32>(query + at(i), load<f32>(q + at(i)) * factor);
  beginSoftmax(work, heads, headSize);
  for (let segment = segments; count > 0; count--, segment = segmentAfter(segment)) {
    if (isInt8(segment)) attendPages<i8>(query, segment, heads, headSize, work, rest, weights, maxima, cap * log2e);
    else attendPages<f32>(query, segment, heads, headSize, work, rest, weights, maxima, cap * log2e);
    if (maxima) {
      weights += at(pageCount(segment) * heads * PAGE);
      maxima += at(pageCount(segment) * heads);
    }
  }
  endSoftmax(work, heads, headSize, out);
}

function attendPages<T>(
  q: usize, segment: usize, heads: i32, headSize: i32, state: usize, work: usize, weights: usize, maxima: usize, cap: f32,
): void {
  const pages = pagesOf(segment), tokens = tokensOf(segment), groupSize = sizeOf(segment);
  const width = stride(headSize);
  const stored = heads / groupSize;
  const headBytes = isInteger<T>() ? int8HeadBytes(width) : at(2 * PAGE * width);
  const tops = state + at(heads * width);
  const inFours = groupSize % 4 == 0;
  if (isInteger<T>()) quantiseQueries(q, heads, headSize, inFours, work);
  else if (inFours) queriesInFours(q, heads, headSize, work);
  for (let first = 0; first < tokens; first += PAGE) {
    const page: usize = load<u32>(pages + at(first / PAGE));
    const count = min(PAGE, tokens - first);
    const hidden = first == 0 ? startOf(segment) : 0;
    for (let j = 0; j < stored; j++) {
      const scales = page + headBytes * j;
      const keys = isInteger<T>() ? scales + SCALES : scales;
      const values = keys + <usize>(PAGE * width) * sizeof<T>();
      const lastHead = (j + 1) * groupSize;
      let h = j * groupSize;
      while (h < lastHead) {
        const together = inFours ? 4 : lastHead - h >= 2 ? 2 : 1;
        const query = (inFours ? work : q) + at(h * headSize);
        const row = weights + at(h * PAGE);
        if (isInteger<T>()) {
          if (together == 4) int8Scores4(work, h, heads, keys, headSize, count, row);
          else if (together == 2) int8Scores2(work, h, heads, keys, headSize, count, row);
          else int8Scores1(work, h, heads, keys, headSize, count, row);
          finishScores(work, h, together, scales, row);
        } else {
          if (together == 4) scores4(query, keys, FOURS_CHUNK, headSize, count, row);
          else if (together == 2) scores2(query, keys, headSize, count, row);
          else scores1(query, keys, headSize, count, row);
        }
        weigh(row, h, together, count, hidden, heads, width, state, cap);
        const sums = state + at(h * width);
        if (isInteger<T>()) {
          const shares = quantiseWeights(work, heads, width, together, count, scales + at(PAGE), row);
          if (together == 4) int8Values4(shares, values, width, count, sums);
          else if (together == 2) int8Values2(shares, values, width, count, sums);
          else int8Values1(shares, values, width, count, sums);
        } else {
          if (together == 4) values4(row, values, FOURS_CHUNK, width, count, sums, width);
          else if (together == 2) values2(row, values, width, count, sums, width);
          else values1(row, values, width, count, sums);
        }
        h += together;
      }
    }
    if (maxima) {
      memory.copy(maxima, tops, at(heads));
      weights += at(heads * PAGE);
      maxima += at(heads);
    }
  }
}

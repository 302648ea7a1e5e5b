// Attention of one token's queries over cached keys and values that lie in pages (see pages.ts and int8-pages.ts for their
// layouts). One online softmax runs over everything; each cached number is read once, in the order in which it lies in memory, and
// serves all the query heads that share its stored head. The inner loops of int8 are in int8-attention.ts.

import { softCap } from './elementwise';
import { at, maxLane, multiplyAdd, powerOfTwo, sumLanes, transpose } from './simd';
import {
  finishScores, int8Scores1, int8Scores2, int8Scores4, int8Values1, int8Values2, int8Values4, int8Work, quantiseQueries, quantiseWeights,
} from './int8-attention';
import { headBytes as int8HeadBytes, SCALES } from './int8-pages';
import { PAGE, stride } from './pages';

/** Numbers that one and two heads work on at a time: the chunk of the pages that they read. */
// @ts-ignore: decorator
@inline const CHUNK: i32 = 16;

// The running state of a call: sums [heads, stride] of values, then maxima [heads] and normalisers [heads], and then queries in
// fours, or what int8 works on.

/** Floats of the state. */
export function attendState(heads: i32, headSize: i32): i32 {
  return heads * (stride(headSize) + 2) + max(heads * headSize, int8Work(heads, stride(headSize)));
}

/** scaled [count] = q·factor, which should include log2(e), or with a soft cap be scale/cap. */
export function scaleQuery(q: usize, factor: f32, count: i32, scaled: usize): void {
  for (let i = 0; i < count; i++) store<f32>(scaled + at(i), load<f32>(q + at(i)) * factor);
}

/** Every four heads of q [heads, headSize] as [headSize, 4], as `scores4` reads them; heads that are left over are not there. */
export function queriesInFours(q: usize, heads: i32, headSize: i32, to: usize): void {
  for (let h = 0; h + 4 <= heads; h += 4) {
    const from = q + at(h * headSize);
    let d = 0;
    for (; d + 4 <= headSize; d += 4) {
      const row = from + at(d);
      const a = v128.load(row), b = v128.load(row + at(headSize)), c = v128.load(row + at(2 * headSize)), e = v128.load(row + at(3 * headSize));
      transpose(a, b, c, e, to + at(4 * d), 16);
    }
    for (; d < headSize; d++) {
      for (let i = 0; i < 4; i++) store<f32>(to + at(4 * d + i), load<f32>(from + at(i * headSize + d)));
    }
    to += at(4 * headSize);
  }
}

/** Starts a softmax over nothing. */
export function attendBegin(state: usize, heads: i32, headSize: i32): void {
  const sums = heads * stride(headSize);
  memory.fill(state, 0, at(sums + 2 * heads));
  for (let h = 0; h < heads; h++) store<f32>(state + at(sums + h), -Infinity);
}

/**
 * Adds a segment from its token `start` on, which is in its first page. `q` [heads, headSize] is scaled already, by log2(e)
 * too, so that the softmax is over powers of two; `pages` are the addresses of its pages in order, laid out in a `chunk` of
 * CHUNK, or of 8 where the group size is a multiple of four. Row (page·heads + head) of
 * `weights` [pages, heads, PAGE] becomes 2^(score − maximum), where the maximum is that of the moment, kept in the same row of
 * `maxima` [pages, heads]. Unless `cap` is 0, scores s are cap·tanh(s) first; then `q` is scaled by scale/cap, and log2(e) is
 * in `cap`. Pages are of float32, or with `int8` those of int8-pages.ts.
 */
export function attendSegment(
  q: usize, pages: usize, chunk: i32, int8: bool, start: i32, tokens: i32, groupSize: i32, heads: i32, headSize: i32,
  state: usize, weights: usize, maxima: usize, keepWeights: bool, cap: f32,
): void {
  if (int8) attendPages<i8>(q, pages, chunk, start, tokens, groupSize, heads, headSize, state, weights, maxima, keepWeights, cap);
  else attendPages<f32>(q, pages, chunk, start, tokens, groupSize, heads, headSize, state, weights, maxima, keepWeights, cap);
}

function attendPages<T>(
  q: usize, pages: usize, chunk: i32, start: i32, tokens: i32, groupSize: i32, heads: i32, headSize: i32,
  state: usize, weights: usize, maxima: usize, keepWeights: bool, cap: f32,
): void {
  const width = stride(headSize);
  const stored = heads / groupSize;
  const headBytes = isInteger<T>() ? int8HeadBytes(width) : at(2 * PAGE * width);
  const tops = state + at(heads * width);
  const work = tops + at(2 * heads);
  const inFours = groupSize % 4 == 0;
  if (isInteger<T>()) quantiseQueries(q, heads, headSize, inFours, work);
  else if (inFours) queriesInFours(q, heads, headSize, work);
  for (let first = 0; first < tokens; first += PAGE) {
    const page: usize = load<u32>(pages + at(first / PAGE));
    const count = min(PAGE, tokens - first);
    const hidden = first == 0 ? start : 0;
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
          if (together == 4) int8Scores4(work, h, heads, keys, chunk, headSize, count, row);
          else if (together == 2) int8Scores2(work, h, heads, keys, headSize, count, row);
          else int8Scores1(work, h, heads, keys, headSize, count, row);
          finishScores(work, h, together, scales, row);
        } else {
          if (together == 4) scores4(query, keys, chunk, headSize, count, row);
          else if (together == 2) scores2(query, keys, headSize, count, row);
          else scores1(query, keys, headSize, count, row);
        }
        weigh(row, h, together, count, hidden, heads, width, state, cap);
        const sums = state + at(h * width);
        if (isInteger<T>()) {
          const shares = quantiseWeights(work, heads, width, together, count, scales + at(PAGE), row);
          if (together == 4) int8Values4(shares, values, chunk, width, count, sums);
          else if (together == 2) int8Values2(shares, values, width, count, sums);
          else int8Values1(shares, values, width, count, sums);
        } else {
          if (together == 4) values4(row, values, chunk, width, count, sums, width);
          else if (together == 2) values2(row, values, width, count, sums, width);
          else values1(row, values, width, count, sums);
        }
        h += together;
      }
    }
    if (keepWeights) {
      memory.copy(maxima, tops, at(heads));
      weights += at(heads * PAGE);
      maxima += at(heads);
    }
  }
}

/** out [heads, headSize] = sums / normalisers */
export function attendEnd(state: usize, heads: i32, headSize: i32, out: usize): void {
  const width = stride(headSize);
  const normalisers = state + at(heads * width + heads);
  for (let h = 0; h < heads; h++) {
    const inverse: f32 = <f32>1 / load<f32>(normalisers + at(h));
    const from = state + at(h * width);
    const to = out + at(h * headSize);
    let d = 0;
    for (; d + 4 <= headSize; d += 4) v128.store(to + at(d), f32x4.mul(v128.load(from + at(d)), f32x4.splat(inverse)));
    for (; d < headSize; d++) store<f32>(to + at(d), load<f32>(from + at(d)) * inverse);
  }
}

/** probabilities [tokens] of a segment, summed over the heads, from what `attendSegment` kept. Takes its `weights` apart. */
export function attendProbabilities(
  state: usize, heads: i32, headSize: i32, weights: usize, maxima: usize, tokens: i32, probabilities: usize,
): void {
  const tops = state + at(heads * stride(headSize));
  for (let first = 0; first < tokens; first += PAGE) {
    const count = min(PAGE, tokens - first);
    const to = probabilities + at(first);
    memory.fill(to, 0, at(count));
    for (let h = 0; h < heads; h++) {
      const shrink = powerOfTwo(f32x4.splat(load<f32>(maxima + at(h)) - load<f32>(tops + at(h))));
      const factor = f32x4.extract_lane(shrink, 0) / load<f32>(tops + at(heads + h));
      const row = weights + at(h * PAGE);
      for (let t = 0; t < count; t++) store<f32>(to + at(t), load<f32>(to + at(t)) + factor * load<f32>(row + at(t)));
    }
    weights += at(heads * PAGE);
    maxima += at(heads);
  }
}

/**
 * Scores of some heads from `h` on, of which the first `hidden` and those from `count` on do not count, become weights; sums
 * [heads, width] so far are scaled to a new maximum.
 */
export function weigh(
  row: usize, h: i32, together: i32, count: i32, hidden: i32, heads: i32, width: i32, state: usize, cap: f32,
): void {
  const tops = state + at(heads * width);
  if (cap) softCap(row, together * PAGE, 1, cap);
  if (count < PAGE) hideRows(row, together, count, PAGE, -Infinity);
  if (hidden) hideRows(row, together, 0, hidden, -Infinity);
  for (let i = 0; i < together; i++) {
    raiseMaximum(row + at(i * PAGE), state + at((h + i) * width), width, tops + at(h + i), tops + at(heads + h + i));
  }
  for (let i = 0; i < together; i++) exponentiate(row + at(i * PAGE), tops + at(h + i), tops + at(heads + h + i));
  if (count < PAGE) hideRows(row, together, count, PAGE, 0);
  if (hidden) hideRows(row, together, 0, hidden, 0);
}

// Sets tokens `first` to `end` − 1 of some rows.
function hideRows(row: usize, rows: i32, first: i32, end: i32, value: f32): void {
  for (let r = 0; r < rows; r++) {
    for (let t = first; t < end; t++) store<f32>(row + at(r * PAGE + t), value);
  }
}

// Finds the maximum of a row; a new one rescales what was summed before.
function raiseMaximum(row: usize, sums: usize, width: i32, top: usize, normaliser: usize): void {
  let largest = v128.load(row), other = v128.load(row, 16);
  for (let t = 8; t < PAGE; t += 8) {
    largest = f32x4.pmax(largest, v128.load(row + at(t)));
    other = f32x4.pmax(other, v128.load(row + at(t), 16));
  }
  const maximum = maxLane(f32x4.pmax(largest, other));
  const before = load<f32>(top);
  if (maximum > before) {
    const shrink = f32x4.extract_lane(powerOfTwo(f32x4.splat(before - maximum)), 0);
    const factor = f32x4.splat(shrink);
    for (let d = 0; d < width; d += 4) v128.store(sums + at(d), f32x4.mul(v128.load(sums + at(d)), factor));
    store<f32>(normaliser, load<f32>(normaliser) * shrink);
    store<f32>(top, maximum);
  }
}

// Scores become 2^(score − maximum) and are added to the normaliser.
function exponentiate(row: usize, top: usize, normaliser: usize): void {
  const maximum = v128.load32_splat(top);
  let added = f32x4.splat(0);
  for (let t = 0; t < PAGE; t += 4) {
    const e = powerOfTwo(f32x4.sub(v128.load(row + at(t)), maximum));
    v128.store(row + at(t), e);
    added = f32x4.add(added, e);
  }
  store<f32>(normaliser, load<f32>(normaliser) + sumLanes(added));
}

// Inner loops. Where the accumulators and the loads of one step together were more than the 15 registers that V8 hands out,
// loops ran at half the speed; so one and two heads take 16 numbers at a time and four heads 8.

// Scores of the first `count` tokens of a page, and of some more, for four, two or one query heads; keys are [PAGE / chunk, stride, chunk].

export function scores4(queries: usize, keys: usize, chunk: i32, headSize: i32, count: i32, row: usize): void {
  if (chunk == 8) scoresInFours(queries, keys, 8, headSize, count, row);
  else scoresInFours(queries, keys, CHUNK, headSize, count, row);
}

// With a constant chunk.
// @ts-ignore: decorator
@inline
function scoresInFours(queries: usize, keys: usize, chunk: i32, headSize: i32, count: i32, row: usize): void {
  const width = stride(headSize);
  const end = queries + at(4 * headSize);
  for (let t = 0; t < count; t += 8) {
    let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
    let key = keys + at((t & ~(chunk - 1)) * width + (t & (chunk - 1)));
    for (let q = queries; q < end; q += 16) {
      const k0 = v128.load(key), k1 = v128.load(key, 16);
      let x = v128.load32_splat(q);
      a0 = multiplyAdd(x, k0, a0);
      a1 = multiplyAdd(x, k1, a1);
      x = v128.load32_splat(q, 4);
      b0 = multiplyAdd(x, k0, b0);
      b1 = multiplyAdd(x, k1, b1);
      x = v128.load32_splat(q, 8);
      c0 = multiplyAdd(x, k0, c0);
      c1 = multiplyAdd(x, k1, c1);
      x = v128.load32_splat(q, 12);
      d0 = multiplyAdd(x, k0, d0);
      d1 = multiplyAdd(x, k1, d1);
      key += at(chunk);
    }
    const to = row + at(t);
    storePair(to, a0, a1);
    storePair(to + at(PAGE), b0, b1);
    storePair(to + at(2 * PAGE), c0, c1);
    storePair(to + at(3 * PAGE), d0, d1);
  }
}

export function scores2(q: usize, keys: usize, headSize: i32, count: i32, row: usize): void {
  const other = q + at(headSize);
  const padding = at((stride(headSize) - headSize) * CHUNK);
  for (let t = 0; t < count; t += CHUNK) {
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (let d: usize = 0; d < at(headSize); d += 4) {
      const x = v128.load32_splat(q + d), y = v128.load32_splat(other + d);
      let k = v128.load(keys);
      a0 = multiplyAdd(x, k, a0);
      b0 = multiplyAdd(y, k, b0);
      k = v128.load(keys, 16);
      a1 = multiplyAdd(x, k, a1);
      b1 = multiplyAdd(y, k, b1);
      k = v128.load(keys, 32);
      a2 = multiplyAdd(x, k, a2);
      b2 = multiplyAdd(y, k, b2);
      k = v128.load(keys, 48);
      a3 = multiplyAdd(x, k, a3);
      b3 = multiplyAdd(y, k, b3);
      keys += 4 * CHUNK;
    }
    keys += padding;
    const to = row + at(t);
    storePair(to, a0, a1);
    storePair(to + 32, a2, a3);
    storePair(to + at(PAGE), b0, b1);
    storePair(to + at(PAGE) + 32, b2, b3);
  }
}

export function scores1(q: usize, keys: usize, headSize: i32, count: i32, row: usize): void {
  const padding = at((stride(headSize) - headSize) * CHUNK);
  for (let t = 0; t < count; t += CHUNK) {
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    for (let d: usize = 0; d < at(headSize); d += 4) {
      const x = v128.load32_splat(q + d);
      a0 = multiplyAdd(x, v128.load(keys), a0);
      a1 = multiplyAdd(x, v128.load(keys, 16), a1);
      a2 = multiplyAdd(x, v128.load(keys, 32), a2);
      a3 = multiplyAdd(x, v128.load(keys, 48), a3);
      keys += 4 * CHUNK;
    }
    keys += padding;
    storePair(row + at(t), a0, a1);
    storePair(row + at(t) + 32, a2, a3);
  }
}

// sums += weights · values of the first `count` tokens for four, two or one query heads, whose sums are `step` apart; values are
// [stride / chunk, PAGE, chunk].

export function values4(row: usize, values: usize, chunk: i32, width: i32, count: i32, sums: usize, step: i32): void {
  if (chunk == 8) valuesInFours(row, values, 8, width, count, sums, step);
  else valuesInFours(row, values, CHUNK, width, count, sums, step);
}

// @ts-ignore: decorator
@inline
function valuesInFours(row: usize, values: usize, chunk: i32, width: i32, count: i32, sums: usize, step: i32): void {
  const s1 = at(step), s2 = 2 * s1, s3 = 3 * s1;
  for (let d = 0; d < width; d += 8) {
    const sum = sums + at(d);
    let value = values + at((d & ~(chunk - 1)) * PAGE + (d & (chunk - 1)));
    let a0 = v128.load(sum), a1 = v128.load(sum, 16);
    let b0 = v128.load(sum + s1), b1 = v128.load(sum + s1, 16);
    let c0 = v128.load(sum + s2), c1 = v128.load(sum + s2, 16);
    let d0 = v128.load(sum + s3), d1 = v128.load(sum + s3, 16);
    for (let weight = row; weight < row + at(count); weight += 4) {
      const v0 = v128.load(value), v1 = v128.load(value, 16);
      let p = v128.load32_splat(weight);
      a0 = multiplyAdd(p, v0, a0);
      a1 = multiplyAdd(p, v1, a1);
      p = v128.load32_splat(weight, 4 * PAGE);
      b0 = multiplyAdd(p, v0, b0);
      b1 = multiplyAdd(p, v1, b1);
      p = v128.load32_splat(weight, 8 * PAGE);
      c0 = multiplyAdd(p, v0, c0);
      c1 = multiplyAdd(p, v1, c1);
      p = v128.load32_splat(weight, 12 * PAGE);
      d0 = multiplyAdd(p, v0, d0);
      d1 = multiplyAdd(p, v1, d1);
      value += at(chunk);
    }
    storePair(sum, a0, a1);
    storePair(sum + s1, b0, b1);
    storePair(sum + s2, c0, c1);
    storePair(sum + s3, d0, d1);
  }
}

export function values2(row: usize, values: usize, width: i32, count: i32, sums: usize, step: i32): void {
  for (let d = 0; d < width; d += CHUNK) {
    const sum = sums + at(d), other = sum + at(step);
    let a0 = v128.load(sum), a1 = v128.load(sum, 16), a2 = v128.load(sum, 32), a3 = v128.load(sum, 48);
    let b0 = v128.load(other), b1 = v128.load(other, 16), b2 = v128.load(other, 32), b3 = v128.load(other, 48);
    for (let weight = row; weight < row + at(count); weight += 4) {
      const x = v128.load32_splat(weight), y = v128.load32_splat(weight, 4 * PAGE);
      let v = v128.load(values);
      a0 = multiplyAdd(x, v, a0);
      b0 = multiplyAdd(y, v, b0);
      v = v128.load(values, 16);
      a1 = multiplyAdd(x, v, a1);
      b1 = multiplyAdd(y, v, b1);
      v = v128.load(values, 32);
      a2 = multiplyAdd(x, v, a2);
      b2 = multiplyAdd(y, v, b2);
      v = v128.load(values, 48);
      a3 = multiplyAdd(x, v, a3);
      b3 = multiplyAdd(y, v, b3);
      values += 4 * CHUNK;
    }
    values += at(CHUNK * (PAGE - count));
    storePair(sum, a0, a1);
    storePair(sum + 32, a2, a3);
    storePair(other, b0, b1);
    storePair(other + 32, b2, b3);
  }
}

export function values1(row: usize, values: usize, width: i32, count: i32, sums: usize): void {
  for (let d = 0; d < width; d += CHUNK) {
    const sum = sums + at(d);
    let a0 = v128.load(sum), a1 = v128.load(sum, 16), a2 = v128.load(sum, 32), a3 = v128.load(sum, 48);
    for (let weight = row; weight < row + at(count); weight += 4) {
      const x = v128.load32_splat(weight);
      a0 = multiplyAdd(x, v128.load(values), a0);
      a1 = multiplyAdd(x, v128.load(values, 16), a1);
      a2 = multiplyAdd(x, v128.load(values, 32), a2);
      a3 = multiplyAdd(x, v128.load(values, 48), a3);
      values += 4 * CHUNK;
    }
    values += at(CHUNK * (PAGE - count));
    storePair(sum, a0, a1);
    storePair(sum + 32, a2, a3);
  }
}

// @ts-ignore: decorator
@inline
function storePair(to: usize, low: v128, high: v128): void {
  v128.store(to, low);
  v128.store(to, high, 16);
}

// The inner loops of attention over pages of float32 (see pages.ts). Where the accumulators and the loads of one step together were
// more than the 15 registers that V8 hands out, loops ran at half the speed; so one and two heads take 16 numbers at a time and four
// heads 8.

import { at, multiplyAdd, storePair, transpose } from './simd';
import { CHUNK, FOURS_CHUNK, PAGE, stride } from './pages';

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

// Scores of the first `count` tokens of a page, and of some more, for four, two or one query heads; keys are [PAGE / chunk, stride, chunk].

export function scores4(queries: usize, keys: usize, chunk: i32, headSize: i32, count: i32, row: usize): void {
  if (chunk == FOURS_CHUNK) scoresInFours(queries, keys, FOURS_CHUNK, headSize, count, row);
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
  if (chunk == FOURS_CHUNK) valuesInFours(row, values, FOURS_CHUNK, width, count, sums, step);
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

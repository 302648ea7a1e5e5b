// The inner loops of attention over pages of int8 (see int8-pages.ts). Queries and weights become 16 bits, so that one instruction
// multiplies eight pairs of integers and sums them in twos, exactly. Their rounding, 1/65,534 of the largest of a head or of a page,
// is a hundred times finer than that of the keys and values.

import { at, multiplyAdd, storePair } from './simd';
import { CHUNK, FOURS_CHUNK, PAGE, stride } from './pages';

/** Bytes of a row of weights. */
// @ts-ignore: decorator
@inline const ROW: usize = 2 * PAGE;

// Working memory: the scales of queries [heads], and queries int16 [heads, width], or in fours [heads / 4, width / 2, 4, 2]; of up to
// four heads the weights int16 [4, PAGE] and their scales [4]. `width` is the stride of a head.

/** Floats of the working memory. */
// @ts-ignore: decorator
@inline
export function int8Work(heads: i32, width: i32): i32 {
  return heads * (width / 2 + 1) + 4 * (PAGE / 2 + 1);
}

// @ts-ignore: decorator
@inline
function queryOf(work: usize, h: i32, heads: i32, width: i32): usize {
  return work + at(heads) + <usize>(2 * h * width);
}

/** Queries [heads, headSize] to 16 bits, for `int8Scores4` in fours. Sums of 32 bits hold their products with keys. */
export function quantiseQueries(q: usize, heads: i32, headSize: i32, inFours: bool, work: usize): void {
  const width = stride(headSize);
  const levels: f32 = min<f32>(32767, <f32>16777216 / <f32>headSize);
  for (let h = 0; h < heads; h++) {
    const from = q + at(h * headSize);
    const to = inFours ? queryOf(work, h & ~3, heads, width) + 4 * (h & 3) : queryOf(work, h, heads, width);
    const step: usize = inFours ? 16 : 4; // from one pair of numbers to the next
    let largest: f32 = 0;
    for (let d = 0; d < headSize; d++) largest = max(largest, abs<f32>(load<f32>(from + at(d))));
    const factor: f32 = largest == 0 ? 0 : levels / largest;
    store<f32>(work + at(h), largest / levels);
    for (let d = 0; d < headSize; d++) {
      store<i16>(to + step * (d >> 1) + 2 * (d & 1), <i16><i32>nearest<f32>(load<f32>(from + at(d)) * factor));
    }
    if (headSize & 1) store<i16>(to + step * (headSize >> 1) + 2, 0);
  }
}

/** Rows [rows, PAGE] of integer scores become float32, times the scales of their query heads, from `h` on, and of the keys. */
export function finishScores(work: usize, h: i32, rows: i32, scales: usize, row: usize): void {
  for (let r = 0; r < rows; r++) {
    const factor = v128.load32_splat(work + at(h + r));
    for (let t: usize = 0; t < at(PAGE); t += 16) {
      const score = f32x4.mul(f32x4.convert_i32x4_s(v128.load(row + t)), v128.load(scales + t));
      v128.store(row + t, f32x4.mul(score, factor));
    }
    row += at(PAGE);
  }
}

/**
 * Weights [rows, PAGE], of which the first `count` matter, times the scales of the values, to 16 bits.
 * @returns where they are, with their scales after the fourth row
 */
export function quantiseWeights(work: usize, heads: i32, width: i32, rows: i32, count: i32, scales: usize, row: usize): usize {
  const shares = queryOf(work, heads, heads, width);
  memory.fill(shares, 0, rows * ROW);
  const whole = count & ~3;
  for (let r = 0; r < rows; r++) {
    let all = f32x4.splat(0);
    for (let t = 0; t < whole; t += 4) all = f32x4.max(all, f32x4.mul(v128.load(row + at(t)), v128.load(scales + at(t))));
    let largest = max(
      max(f32x4.extract_lane(all, 0), f32x4.extract_lane(all, 1)), max(f32x4.extract_lane(all, 2), f32x4.extract_lane(all, 3)),
    );
    for (let t = whole; t < count; t++) largest = max(largest, load<f32>(row + at(t)) * load<f32>(scales + at(t)));
    const factor: f32 = largest == 0 ? 0 : <f32>32767 / largest;
    const to = shares + r * ROW;
    store<f32>(shares + 4 * ROW + at(r), largest / 32767);
    const factors = f32x4.splat(factor);
    for (let t = 0; t < whole; t += 4) {
      const weight = f32x4.mul(f32x4.mul(v128.load(row + at(t)), v128.load(scales + at(t))), factors);
      const rounded = i32x4.trunc_sat_f32x4_s(f32x4.nearest(weight));
      v128.store64_lane(to + 2 * t, i16x8.narrow_i32x4_s(rounded, rounded), 0);
    }
    for (let t = whole; t < count; t++) {
      store<i16>(to + 2 * t, <i16><i32>nearest<f32>(load<f32>(row + at(t)) * load<f32>(scales + at(t)) * factor));
    }
    row += at(PAGE);
  }
  return shares;
}

// @ts-ignore: decorator
@inline
function addProducts(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

// Scores of the first `count` tokens of a page, and of some more, for four, two or one query heads from `h` on, as integers.

export function int8Scores4(work: usize, h: i32, heads: i32, keys: usize, headSize: i32, count: i32, row: usize): void {
  const width = stride(headSize);
  const q = queryOf(work, h, heads, width);
  const end = q + 16 * <usize>((headSize + 1) >> 1);
  for (let t = 0; t < count; t += 8) {
    let a0 = i32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
    let key = keys + <usize>(t * width);
    for (let pair = q; pair < end; pair += 16) {
      const k0 = v128.load8x8_s(key), k1 = v128.load8x8_s(key, 8);
      let x = v128.load32_splat(pair);
      a0 = addProducts(a0, x, k0);
      a1 = addProducts(a1, x, k1);
      x = v128.load32_splat(pair, 4);
      b0 = addProducts(b0, x, k0);
      b1 = addProducts(b1, x, k1);
      x = v128.load32_splat(pair, 8);
      c0 = addProducts(c0, x, k0);
      c1 = addProducts(c1, x, k1);
      x = v128.load32_splat(pair, 12);
      d0 = addProducts(d0, x, k0);
      d1 = addProducts(d1, x, k1);
      key += 2 * FOURS_CHUNK;
    }
    const to = row + at(t);
    storePair(to, a0, a1);
    storePair(to + at(PAGE), b0, b1);
    storePair(to + at(2 * PAGE), c0, c1);
    storePair(to + at(3 * PAGE), d0, d1);
  }
}

export function int8Scores2(work: usize, h: i32, heads: i32, keys: usize, headSize: i32, count: i32, row: usize): void {
  const width = stride(headSize);
  const q = queryOf(work, h, heads, width);
  const end = q + <usize>(2 * headSize);
  const s1 = <usize>(2 * width);
  for (let t = 0; t < count; t += CHUNK) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let key = keys + <usize>(t * width);
    for (let pair = q; pair < end; pair += 4) {
      const x = v128.load32_splat(pair), y = v128.load32_splat(pair + s1);
      let k = v128.load8x8_s(key);
      a0 = addProducts(a0, x, k);
      b0 = addProducts(b0, y, k);
      k = v128.load8x8_s(key, 8);
      a1 = addProducts(a1, x, k);
      b1 = addProducts(b1, y, k);
      k = v128.load8x8_s(key, 16);
      a2 = addProducts(a2, x, k);
      b2 = addProducts(b2, y, k);
      k = v128.load8x8_s(key, 24);
      a3 = addProducts(a3, x, k);
      b3 = addProducts(b3, y, k);
      key += 2 * CHUNK;
    }
    const to = row + at(t);
    storePair(to, a0, a1);
    storePair(to + 32, a2, a3);
    storePair(to + at(PAGE), b0, b1);
    storePair(to + at(PAGE) + 32, b2, b3);
  }
}

export function int8Scores1(work: usize, h: i32, heads: i32, keys: usize, headSize: i32, count: i32, row: usize): void {
  const width = stride(headSize);
  const q = queryOf(work, h, heads, width);
  const end = q + <usize>(2 * headSize);
  for (let t = 0; t < count; t += CHUNK) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    let key = keys + <usize>(t * width);
    for (let pair = q; pair < end; pair += 4) {
      const x = v128.load32_splat(pair);
      a0 = addProducts(a0, x, v128.load8x8_s(key));
      a1 = addProducts(a1, x, v128.load8x8_s(key, 8));
      a2 = addProducts(a2, x, v128.load8x8_s(key, 16));
      a3 = addProducts(a3, x, v128.load8x8_s(key, 24));
      key += 2 * CHUNK;
    }
    storePair(row + at(t), a0, a1);
    storePair(row + at(t) + 32, a2, a3);
  }
}

// sums += weights · values of the first `count` tokens for four, two or one query heads; `shares` are of quantiseWeights.

export function int8Values4(shares: usize, values: usize, width: i32, count: i32, sums: usize): void {
  const end = shares + <usize>(2 * count);
  for (let d = 0; d < width; d += 8) {
    let a0 = i32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
    let value = values + <usize>(d * PAGE);
    for (let pair = shares; pair < end; pair += 4) {
      const v0 = v128.load8x8_s(value), v1 = v128.load8x8_s(value, 8);
      let p = v128.load32_splat(pair);
      a0 = addProducts(a0, p, v0);
      a1 = addProducts(a1, p, v1);
      p = v128.load32_splat(pair, ROW);
      b0 = addProducts(b0, p, v0);
      b1 = addProducts(b1, p, v1);
      p = v128.load32_splat(pair, 2 * ROW);
      c0 = addProducts(c0, p, v0);
      c1 = addProducts(c1, p, v1);
      p = v128.load32_splat(pair, 3 * ROW);
      d0 = addProducts(d0, p, v0);
      d1 = addProducts(d1, p, v1);
      value += 2 * FOURS_CHUNK;
    }
    let sum = sums + at(d);
    addPair(sum, shares, 0, a0, a1);
    addPair((sum += at(width)), shares, 1, b0, b1);
    addPair((sum += at(width)), shares, 2, c0, c1);
    addPair(sum + at(width), shares, 3, d0, d1);
  }
}

export function int8Values2(shares: usize, values: usize, width: i32, count: i32, sums: usize): void {
  const end = shares + <usize>(2 * count);
  for (let d = 0; d < width; d += CHUNK) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let value = values + <usize>(d * PAGE);
    for (let pair = shares; pair < end; pair += 4) {
      const x = v128.load32_splat(pair), y = v128.load32_splat(pair, ROW);
      let v = v128.load8x8_s(value);
      a0 = addProducts(a0, x, v);
      b0 = addProducts(b0, y, v);
      v = v128.load8x8_s(value, 8);
      a1 = addProducts(a1, x, v);
      b1 = addProducts(b1, y, v);
      v = v128.load8x8_s(value, 16);
      a2 = addProducts(a2, x, v);
      b2 = addProducts(b2, y, v);
      v = v128.load8x8_s(value, 24);
      a3 = addProducts(a3, x, v);
      b3 = addProducts(b3, y, v);
      value += 2 * CHUNK;
    }
    const sum = sums + at(d);
    addPair(sum, shares, 0, a0, a1);
    addPair(sum + 32, shares, 0, a2, a3);
    addPair(sum + at(width), shares, 1, b0, b1);
    addPair(sum + at(width) + 32, shares, 1, b2, b3);
  }
}

export function int8Values1(shares: usize, values: usize, width: i32, count: i32, sums: usize): void {
  const end = shares + <usize>(2 * count);
  for (let d = 0; d < width; d += CHUNK) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    let value = values + <usize>(d * PAGE);
    for (let pair = shares; pair < end; pair += 4) {
      const x = v128.load32_splat(pair);
      a0 = addProducts(a0, x, v128.load8x8_s(value));
      a1 = addProducts(a1, x, v128.load8x8_s(value, 8));
      a2 = addProducts(a2, x, v128.load8x8_s(value, 16));
      a3 = addProducts(a3, x, v128.load8x8_s(value, 24));
      value += 2 * CHUNK;
    }
    addPair(sums + at(d), shares, 0, a0, a1);
    addPair(sums + at(d) + 32, shares, 0, a2, a3);
  }
}

// Eight sums of a row += integers, times the row's scale.
// @ts-ignore: decorator
@inline
function addPair(sum: usize, shares: usize, row: i32, low: v128, high: v128): void {
  const scale = v128.load32_splat(shares + 4 * ROW + at(row));
  v128.store(sum, multiplyAdd(f32x4.convert_i32x4_s(low), scale, v128.load(sum)));
  v128.store(sum, multiplyAdd(f32x4.convert_i32x4_s(high), scale, v128.load(sum, 16)), 16);
}

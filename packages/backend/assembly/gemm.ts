// Matrix product C = op(A)·op(B), with bias, ReLU and accumulation fused into the store.
//
// B is packed into panels of 8 columns and A into panels of 4 rows, so that the inner loop reads both in order and
// keeps a 4×8 tile of C in eight registers. Packing also absorbs every transposition: NN, NT and TN run alike.

import { at, multiplyAdd, transpose } from './simd';

/** Columns of a packed panel of B. */
// @ts-ignore: decorator
@inline export const NR: i32 = 8;
/** Rows of a packed panel of A. */
// @ts-ignore: decorator
@inline const MR: i32 = 4;
/** Depth of a block: one panel of B (8 KiB) and one of A (4 KiB) stay in the first-level cache. */
// @ts-ignore: decorator
@inline export const KC: i32 = 256;
/** Columns of B that are worked through before the next rows of A, so that their panels stay in the second level. */
// @ts-ignore: decorator
@inline const NC: i32 = 512;

/** Add to what C holds. */
// @ts-ignore: decorator
@inline export const ACCUMULATE: i32 = 1;
/** Apply max(0, ·) to the finished value. */
// @ts-ignore: decorator
@inline export const RELU: i32 = 2;

/** Floats that `packB` writes for a [depth, columns] operand. */
// @ts-ignore: decorator
@inline
export function packedSize(depth: i32, columns: i32): i32 {
  return depth * ((columns + NR - 1) & ~(NR - 1));
}

/** Floats of scratch that `gemmPacked` needs for its panel of A. */
// @ts-ignore: decorator
@inline
export function panelSize(): i32 {
  return KC * MR;
}

// One panel: [kc][NR] from B's rows k0.. and columns n.., zero beyond the last column.
export function packPanelB(b: usize, ldb: i32, transposed: bool, k0: i32, kc: i32, n: i32, width: i32, to: usize): void {
  const ld = at(ldb);
  if (!transposed) {
    let from = b + ld * k0 + at(n);
    if (width == NR) {
      for (let k = 0; k < kc; k++) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        from += ld;
        to += NR * 4;
      }
      return;
    }
    for (let k = 0; k < kc; k++) {
      for (let j = 0; j < NR; j++) store<f32>(to + at(j), j < width ? load<f32>(from + at(j)) : <f32>0);
      from += ld;
      to += NR * 4;
    }
    return;
  }
  const from = b + ld * n + at(k0);
  let k = 0;
  if (width == NR) {
    for (; k + 4 <= kc; k += 4) {
      let p = from + at(k);
      const row0 = v128.load(p), row1 = v128.load(p + ld), row2 = v128.load(p + 2 * ld), row3 = v128.load(p + 3 * ld);
      transpose(row0, row1, row2, row3, to + at(k * NR), NR * 4);
      p += 4 * ld;
      const row4 = v128.load(p), row5 = v128.load(p + ld), row6 = v128.load(p + 2 * ld), row7 = v128.load(p + 3 * ld);
      transpose(row4, row5, row6, row7, to + at(k * NR + 4), NR * 4);
    }
  }
  for (; k < kc; k++) {
    for (let j = 0; j < NR; j++) {
      store<f32>(to + at(k * NR + j), j < width ? load<f32>(from + ld * j + at(k)) : <f32>0);
    }
  }
}

/** Packs op(B) [depth, columns]; blocks of KC rows, each a run of panels. `to` takes `packedSize` floats. */
export function packB(b: usize, ldb: i32, transposed: bool, depth: i32, columns: i32, to: usize): void {
  for (let k0 = 0; k0 < depth; k0 += KC) {
    const kc = min(KC, depth - k0);
    for (let n = 0; n < columns; n += NR) {
      packPanelB(b, ldb, transposed, k0, kc, n, min(NR, columns - n), to);
      to += at(kc * NR);
    }
  }
}

function packPanelA(a: usize, lda: i32, transposed: bool, m: i32, height: i32, k0: i32, kc: i32, to: usize): void {
  const ld = at(lda);
  if (transposed) {
    let from = a + ld * k0 + at(m);
    for (let k = 0; k < kc; k++) {
      if (height == MR) v128.store(to, v128.load(from));
      else for (let i = 0; i < MR; i++) store<f32>(to + at(i), i < height ? load<f32>(from + at(i)) : <f32>0);
      from += ld;
      to += MR * 4;
    }
    return;
  }
  const from = a + ld * m + at(k0);
  let k = 0;
  if (height == MR) {
    for (; k + 4 <= kc; k += 4) {
      const p = from + at(k);
      const row0 = v128.load(p), row1 = v128.load(p + ld), row2 = v128.load(p + 2 * ld), row3 = v128.load(p + 3 * ld);
      transpose(row0, row1, row2, row3, to + at(k * MR), MR * 4);
    }
  }
  for (; k < kc; k++) {
    for (let i = 0; i < MR; i++) {
      store<f32>(to + at(k * MR + i), i < height ? load<f32>(from + ld * i + at(k)) : <f32>0);
    }
  }
}

// @ts-ignore: decorator
@inline
function storeRow(c: usize, low: v128, high: v128, bias: usize, width: i32, flags: i32): void {
  if (width == NR) {
    if (flags & ACCUMULATE) {
      low = f32x4.add(low, v128.load(c));
      high = f32x4.add(high, v128.load(c, 16));
    }
    if (bias) {
      low = f32x4.add(low, v128.load(bias));
      high = f32x4.add(high, v128.load(bias, 16));
    }
    if (flags & RELU) {
      low = f32x4.max(low, f32x4.splat(0));
      high = f32x4.max(high, f32x4.splat(0));
    }
    v128.store(c, low);
    v128.store(c, high, 16);
    return;
  }
  // A narrow last panel: lane by lane, so that nothing beyond the row is touched.
  for (let j = 0; j < width; j++) {
    let value = f32x4.extract_lane(j < 4 ? low : high, 0);
    if (j < 4) low = i8x16.shuffle(low, low, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    else high = i8x16.shuffle(high, high, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    if (flags & ACCUMULATE) value += load<f32>(c + at(j));
    if (bias) value += load<f32>(bias + at(j));
    if (flags & RELU) value = max(value, <f32>0);
    store<f32>(c + at(j), value);
  }
}

// The 4×8 tile: a is [kc][4], b is [kc][8].
function tile(a: usize, b: usize, kc: i32, c: usize, ldc: usize, bias: usize, height: i32, width: i32, flags: i32): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  for (let k = 0; k < kc; k++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
    a += MR * 4;
    b += NR * 4;
  }
  storeRow(c, c00, c01, bias, width, flags);
  if (height > 1) storeRow(c + ldc, c10, c11, bias, width, flags);
  if (height > 2) storeRow(c + 2 * ldc, c20, c21, bias, width, flags);
  if (height > 3) storeRow(c + 3 * ldc, c30, c31, bias, width, flags);
}

/**
 * C [rows, columns] = op(A) [rows, depth] · packed B, of which the first `depth` of `packedDepth` rows and the first
 * `columns` of `packedColumns` are used. `bias` is a row of `columns` floats or 0. `panel` takes `panelSize` floats.
 */
export function gemmPacked(
  a: usize, lda: i32, transposedA: bool,
  packed: usize, packedDepth: i32, packedColumns: i32,
  c: usize, ldc: i32, rows: i32, columns: i32, depth: i32,
  bias: usize, flags: i32, panel: usize,
): void {
  const stepC = at(ldc);
  const blockColumns = (packedColumns + NR - 1) & ~(NR - 1);
  for (let k0 = 0; k0 < depth; k0 += KC) {
    const kc = min(KC, depth - k0);
    const panelBytes = at(min(KC, packedDepth - k0) * NR);
    const block = packed + at(k0 * blockColumns);
    const last = k0 + kc == depth;
    const tileFlags = (k0 > 0 ? flags | ACCUMULATE : flags) & (last ? -1 : ~RELU);
    for (let n0 = 0; n0 < columns; n0 += NC) {
      const end = min(columns, n0 + NC);
      for (let m = 0; m < rows; m += MR) {
        const height = min(MR, rows - m);
        packPanelA(a, lda, transposedA, m, height, k0, kc, panel);
        const rowC = c + stepC * m;
        for (let n = n0; n < end; n += NR) {
          tile(
            panel, block + panelBytes * (n / NR), kc,
            rowC + at(n), stepC, bias && last ? bias + at(n) : 0,
            height, min(NR, columns - n), tileFlags,
          );
        }
      }
    }
  }
}

/** C = op(A)·op(B). `scratch` takes panelSize() + packedSize(depth, columns) floats. */
export function gemm(
  a: usize, lda: i32, transposedA: bool,
  b: usize, ldb: i32, transposedB: bool,
  c: usize, ldc: i32, rows: i32, columns: i32, depth: i32,
  bias: usize, flags: i32, scratch: usize,
): void {
  const packed = scratch + at(panelSize());
  packB(b, ldb, transposedB, depth, columns, packed);
  gemmPacked(a, lda, transposedA, packed, depth, columns, c, ldc, rows, columns, depth, bias, flags, scratch);
}

// Matrices [outputs, inputs] packed once and read once per token, in float32, bfloat16 or 8-bit integers.
//
// Floats lie as `packB` of gemm.ts lays out the transpose: blocks of KC inputs, in each a run of panels of NR outputs, in
// each panel [input][NR]. So the same memory serves single tokens here and many in `gemmPacked`. In bfloat16 the numbers of
// outputs j and j + 4 share 32 bits. Bytes lie in panels of 4 outputs, [inputs / 16, 4, 16], rows padded with zeros.

import { activate, RELU } from './elementwise';
import { ACCUMULATE, gemmPacked, KC, NR, packPanelB, panelSize, RELU as FUSED_RELU } from './gemm';
import { at, multiplyAdd, transpose } from './simd';

/** Outputs of a panel of bytes. */
// @ts-ignore: decorator
@inline const BYTE_PANEL: i32 = 4;
/** Inputs that are worked on together in bytes. */
// @ts-ignore: decorator
@inline const BYTE_CHUNK: i32 = 16;

// @ts-ignore: decorator
@inline
function roundUp(value: i32, multiple: i32): i32 {
  return (value + multiple - 1) / multiple * multiple;
}

// The offset in numbers of the panel that holds output n, in the block of inputs from k0 on.
// @ts-ignore: decorator
@inline
function panelAt(k0: i32, kc: i32, outputs: i32, n: i32): i32 {
  return k0 * roundUp(outputs, NR) + n * kc;
}

/** Packs `count` rows of w [count, inputs] as outputs `first` and on; `first` is a multiple of NR. */
export function packF32(w: usize, inputs: i32, outputs: i32, first: i32, count: i32, to: usize): void {
  for (let k0 = 0; k0 < inputs; k0 += KC) {
    const kc = min(KC, inputs - k0);
    for (let n = 0; n < count; n += NR) {
      packPanelB(w, inputs, true, k0, kc, n, min(NR, count - n), to + at(panelAt(k0, kc, outputs, first + n)));
    }
  }
}

/** The same in bfloat16, rounded to the nearest, ties to even. `panel` takes KC·NR floats. */
export function packBf16(w: usize, inputs: i32, outputs: i32, first: i32, count: i32, to: usize, panel: usize): void {
  for (let k0 = 0; k0 < inputs; k0 += KC) {
    const kc = min(KC, inputs - k0);
    for (let n = 0; n < count; n += NR) {
      packPanelB(w, inputs, true, k0, kc, n, min(NR, count - n), panel);
      const packed = to + at(panelAt(k0, kc, outputs, first + n)) / 2;
      for (let k = 0; k < kc; k++) {
        const low = roundToBf16(v128.load(panel + at(k * NR))), high = roundToBf16(v128.load(panel + at(k * NR), 16));
        v128.store(packed + 2 * k * NR, v128.or(i32x4.shr_u(low, 16), v128.and(high, i32x4.splat(0xffff0000))));
      }
    }
  }
}

// The upper halves are the rounded numbers. NaN stays NaN: its payload's top bit is set first, so that no carry clears it.
// @ts-ignore: decorator
@inline
function roundToBf16(value: v128): v128 {
  const odd = v128.and(i32x4.shr_u(value, 16), i32x4.splat(1));
  const rounded = i32x4.add(value, i32x4.add(odd, i32x4.splat(0x7fff)));
  return v128.bitselect(rounded, i32x4.splat(0x7fc00000), f32x4.eq(value, value));
}

/** Bytes of a matrix packed in 8 bits, without its scales. */
export function int8Bytes(inputs: i32, outputs: i32): i32 {
  return roundUp(outputs, BYTE_PANEL) * roundUp(inputs, BYTE_CHUNK);
}

/**
 * Packs `count` rows as outputs `first` and on, a multiple of BYTE_PANEL, each so that its largest absolute value becomes
 * ±127; `scales[first…]` take what 1 stands for. What is packed to must be zero.
 */
export function packInt8(w: usize, inputs: i32, first: i32, count: i32, to: usize, scales: usize): void {
  const length = roundUp(inputs, BYTE_CHUNK);
  for (let r = 0; r < count; r++) {
    const row = w + at(r * inputs);
    const output = first + r;
    let largest: f32 = 0;
    for (let k = 0; k < inputs; k++) largest = max(largest, abs(load<f32>(row + at(k))));
    store<f32>(scales + at(output), largest / 127);
    if (largest == 0) continue;
    const inverse: f64 = 127 / <f64>largest;
    const panel = to + (output & ~(BYTE_PANEL - 1)) * length + (output & (BYTE_PANEL - 1)) * BYTE_CHUNK;
    for (let k = 0; k < inputs; k++) {
      const value = <i32>floor(<f64>load<f32>(row + at(k)) * inverse + 0.5);
      store<i8>(panel + (k & ~(BYTE_CHUNK - 1)) * BYTE_PANEL + (k & (BYTE_CHUNK - 1)), <i8>value);
    }
  }
}

/**
 * y [outputs] = activation(x [inputs] · wᵀ + bias) + residual, for w packed in float32; bias and residual may be 0. Without
 * an activation (0; else see elementwise.ts) the residual may be y itself.
 */
export function gemvF32(
  x: usize, packed: usize, bias: usize, residual: usize, y: usize, inputs: i32, outputs: i32, activation: i32,
): void {
  begin(y, bias, residual, outputs, activation);
  for (let k0 = 0; k0 < inputs; k0 += KC) {
    const kc = min(KC, inputs - k0);
    const from = x + at(k0), pairs = from + at(kc & ~1);
    for (let n = 0; n < outputs; n += NR) {
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0;
      let k = from;
      // Four accumulators, not eight: see f32-attention.ts.
      for (; k < pairs; k += 8) {
        let s = v128.load32_splat(k);
        a0 = multiplyAdd(s, v128.load(packed), a0);
        a1 = multiplyAdd(s, v128.load(packed, 16), a1);
        s = v128.load32_splat(k, 4);
        b0 = multiplyAdd(s, v128.load(packed, 32), b0);
        b1 = multiplyAdd(s, v128.load(packed, 48), b1);
        packed += 8 * NR;
      }
      if (kc & 1) {
        const s = v128.load32_splat(k);
        a0 = multiplyAdd(s, v128.load(packed), a0);
        a1 = multiplyAdd(s, v128.load(packed, 16), a1);
        packed += 4 * NR;
      }
      addPanel(y + at(n), f32x4.add(a0, b0), f32x4.add(a1, b1), outputs - n);
    }
  }
  finish(y, residual, outputs, activation);
}

/** The same for w packed in bfloat16. Four inputs a turn: the fewer instructions between two cache lines, the more lines are asked for at a time. */
export function gemvBf16(
  x: usize, packed: usize, bias: usize, residual: usize, y: usize, inputs: i32, outputs: i32, activation: i32,
): void {
  const upper = i32x4.splat(0xffff0000);
  begin(y, bias, residual, outputs, activation);
  for (let k0 = 0; k0 < inputs; k0 += KC) {
    const kc = min(KC, inputs - k0);
    const from = x + at(k0), fours = from + at(kc & ~3), end = from + at(kc);
    for (let n = 0; n < outputs; n += NR) {
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0;
      let k = from;
      for (; k < fours; k += 16) {
        let s = v128.load32_splat(k), w = v128.load(packed);
        a0 = multiplyAdd(s, i32x4.shl(w, 16), a0);
        a1 = multiplyAdd(s, v128.and(w, upper), a1);
        s = v128.load32_splat(k, 4);
        w = v128.load(packed, 16);
        b0 = multiplyAdd(s, i32x4.shl(w, 16), b0);
        b1 = multiplyAdd(s, v128.and(w, upper), b1);
        s = v128.load32_splat(k, 8);
        w = v128.load(packed, 32);
        a0 = multiplyAdd(s, i32x4.shl(w, 16), a0);
        a1 = multiplyAdd(s, v128.and(w, upper), a1);
        s = v128.load32_splat(k, 12);
        w = v128.load(packed, 48);
        b0 = multiplyAdd(s, i32x4.shl(w, 16), b0);
        b1 = multiplyAdd(s, v128.and(w, upper), b1);
        packed += 8 * NR;
      }
      for (; k < end; k += 4) {
        const s = v128.load32_splat(k), w = v128.load(packed);
        a0 = multiplyAdd(s, i32x4.shl(w, 16), a0);
        a1 = multiplyAdd(s, v128.and(w, upper), a1);
        packed += 2 * NR;
      }
      addPanel(y + at(n), f32x4.add(a0, b0), f32x4.add(a1, b1), outputs - n);
    }
  }
  finish(y, residual, outputs, activation);
}

/** Floats of scratch for `gemvInt8`. */
export function gemvInt8Scratch(inputs: i32): i32 {
  return roundUp(inputs, KC) / 2 + roundUp(inputs, KC) / KC;
}

/** The same for w packed in 8 bits. The inputs are rounded to 16 bits, KC at a time by their largest. */
export function gemvInt8(
  x: usize, packed: usize, scales: usize, bias: usize, residual: usize, y: usize, inputs: i32, outputs: i32, activation: i32,
  scratch: usize,
): void {
  const factors = scratch + roundUp(inputs, KC) * 2;
  for (let k0 = 0; k0 < inputs; k0 += KC) {
    store<f32>(factors + at(k0 / KC), roundTo16Bits(x + at(k0), min(KC, inputs - k0), scratch + 2 * k0));
  }
  begin(y, bias, residual, outputs, activation);
  const length = roundUp(inputs, BYTE_CHUNK);
  for (let n = 0; n < outputs; n += BYTE_PANEL) {
    let sums = f32x4.splat(0);
    for (let k0 = 0; k0 < length; k0 += KC) {
      let a = i32x4.splat(0), b = a, c = a, d = a;
      const end = scratch + 2 * min(k0 + KC, length);
      for (let k = scratch + 2 * k0; k < end; k += 2 * BYTE_CHUNK) {
        const x0 = v128.load(k), x1 = v128.load(k, 16);
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_s(packed), x0));
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 8), x1));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 16), x0));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 24), x1));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 32), x0));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 40), x1));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 48), x0));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load8x8_s(packed, 56), x1));
        packed += BYTE_PANEL * BYTE_CHUNK;
      }
      const total = f32x4.convert_i32x4_s(sumsOfLanes(a, b, c, d));
      sums = multiplyAdd(total, v128.load32_splat(factors + at(k0 / KC)), sums);
    }
    addVector(y + at(n), f32x4.mul(sums, v128.load(scales + at(n))), outputs - n);
  }
  finish(y, residual, outputs, activation);
}

/** y [rows, outputs] like the above, for any type: 0 float32, 1 bfloat16, 2 bytes. `scratch` takes `manyScratch` floats. */
export function gemmMany(
  x: usize, packed: usize, scales: usize, type: i32, bias: usize, residual: usize, y: usize,
  rows: i32, inputs: i32, outputs: i32, activation: i32, scratch: usize,
): void {
  const startsFromResidual = residual && !activation;
  if (startsFromResidual && residual != y) memory.copy(y, residual, at(rows * outputs));
  const first = startsFromResidual ? ACCUMULATE : 0;
  if (type == 0) {
    const flags = first | (activation == RELU ? FUSED_RELU : 0);
    gemmPacked(x, inputs, false, packed, inputs, outputs, y, outputs, rows, outputs, inputs, bias, flags, scratch);
  } else {
    const panel = scratch + at(panelSize());
    for (let n = 0; n < outputs; n += STRIP) {
      const count = min(STRIP, outputs - n);
      for (let k0 = 0; k0 < inputs; k0 += KC) {
        const kc = min(KC, inputs - k0);
        const last = k0 + kc == inputs;
        if (type == 1) widenBf16(packed, inputs, outputs, n, count, k0, kc, panel);
        else widenInt8(packed, scales, inputs, n, count, k0, kc, panel);
        const flags = (k0 > 0 ? ACCUMULATE : first) | (activation == RELU && last ? FUSED_RELU : 0);
        gemmPacked(
          x + at(k0), inputs, false, panel, kc, count, y + at(n), outputs, rows, count, kc,
          bias && last ? bias + at(n) : 0, flags, scratch,
        );
      }
    }
  }
  if (activation > RELU) activate(y, rows * outputs, activation);
  if (residual && activation) addInPlace(y, residual, rows * outputs);
}

/** Outputs that are widened at a time. */
// @ts-ignore: decorator
@inline const STRIP: i32 = 256;

/** Floats of scratch for `gemmMany`. */
export function manyScratch(): i32 {
  return panelSize() + KC * STRIP;
}

function widenBf16(packed: usize, inputs: i32, outputs: i32, first: i32, count: i32, k0: i32, kc: i32, to: usize): void {
  let from = packed + at(panelAt(k0, kc, outputs, first)) / 2;
  for (const end = to + at(roundUp(count, NR) * kc); to < end; to += 4 * NR) {
    const w = v128.load(from);
    v128.store(to, i32x4.shl(w, 16));
    v128.store(to, v128.and(w, i32x4.splat(0xffff0000)), 16);
    from += 2 * NR;
  }
}

function widenInt8(packed: usize, scales: usize, inputs: i32, first: i32, count: i32, k0: i32, kc: i32, to: usize): void {
  const fours = kc & ~3;
  const whole = count & ~(BYTE_PANEL - 1);
  const length = roundUp(inputs, BYTE_CHUNK);
  for (let n = 0; n < whole; n += BYTE_PANEL) {
    const from = packed + (first + n) * length;
    const panel = to + at((n & ~(NR - 1)) * kc + (n & (NR - 1)));
    for (let k = 0; k < fours; k += 4) {
      const bytes = from + (k0 + k & ~(BYTE_CHUNK - 1)) * BYTE_PANEL + (k0 + k & (BYTE_CHUNK - 1));
      transpose(
        widened(bytes, scales + at(first + n)), widened(bytes + BYTE_CHUNK, scales + at(first + n + 1)),
        widened(bytes + 2 * BYTE_CHUNK, scales + at(first + n + 2)), widened(bytes + 3 * BYTE_CHUNK, scales + at(first + n + 3)),
        panel + at(k * NR), at(NR),
      );
    }
  }
  for (let n = 0; n < count; n++) {
    const done = n < whole ? fours : 0;
    const panel = to + at((n & ~(NR - 1)) * kc + (n & (NR - 1)));
    const scale = load<f32>(scales + at(first + n));
    for (let k = done; k < kc; k++) store<f32>(panel + at(k * NR), scale * <f32>byteAt(packed, inputs, first + n, k0 + k));
  }
  for (let n = count; n & (NR - 1); n++) {
    for (let k = 0; k < kc; k++) store<f32>(to + at((n & ~(NR - 1)) * kc + k * NR + (n & (NR - 1))), 0);
  }
}

// Four bytes times the scale at an address.
// @ts-ignore: decorator
@inline
function widened(bytes: usize, scale: usize): v128 {
  const words = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(bytes)));
  return f32x4.mul(f32x4.convert_i32x4_s(words), v128.load32_splat(scale));
}

// @ts-ignore: decorator
@inline
function byteAt(packed: usize, inputs: i32, output: i32, k: i32): i32 {
  const length = roundUp(inputs, BYTE_CHUNK);
  const panel = packed + (output & ~(BYTE_PANEL - 1)) * length + (output & (BYTE_PANEL - 1)) * BYTE_CHUNK;
  return load<i8>(panel + (k & ~(BYTE_CHUNK - 1)) * BYTE_PANEL + (k & (BYTE_CHUNK - 1)));
}

/** to [inputs] = row `output` of the matrix (added to what is there, if asked), without its bias. */
export function unpackRow(packed: usize, scales: usize, type: i32, inputs: i32, outputs: i32, output: i32, to: usize, add: bool): void {
  const column = output & (NR - 1);
  for (let k = 0; k < inputs; k++) {
    let value: f32;
    if (type == 2) {
      value = load<f32>(scales + at(output)) * <f32>byteAt(packed, inputs, output, k);
    } else {
      const k0 = k & ~(KC - 1), kc = min(KC, inputs - k0);
      const line = panelAt(k0, kc, outputs, output & ~(NR - 1)) + (k - k0) * NR;
      if (type == 0) value = load<f32>(packed + at(line + column));
      else {
        const both = load<u32>(packed + 2 * line + at(column & 3));
        value = reinterpret<f32>(column < 4 ? both << 16 : both & 0xffff0000);
      }
    }
    store<f32>(to + at(k), add ? load<f32>(to + at(k)) + value : value);
  }
}

// Rounds to ±32767 by the largest; returns what 1 stands for. What is missing to a multiple of BYTE_CHUNK becomes zero.
function roundTo16Bits(x: usize, count: i32, to: usize): f32 {
  let largest: f32 = 0;
  for (let i = 0; i < count; i++) largest = max(largest, abs(load<f32>(x + at(i))));
  const inverse: f32 = largest > 0 ? 32767 / largest : 0;
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + at(i)), f32x4.splat(inverse))));
    const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + at(i), 16), f32x4.splat(inverse))));
    v128.store(to + 2 * i, i16x8.narrow_i32x4_s(low, high));
  }
  for (; i < count; i++) store<i16>(to + 2 * i, <i16>nearest(load<f32>(x + at(i)) * inverse));
  for (; i & (BYTE_CHUNK - 1); i++) store<i16>(to + 2 * i, 0);
  return largest / 32767;
}

// [Σ a, Σ b, Σ c, Σ d] over lanes.
// @ts-ignore: decorator
@inline
function sumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(
    i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
    i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31),
  );
  const cd = i32x4.add(
    i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
    i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31),
  );
  return i32x4.add(
    i8x16.shuffle(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
    i8x16.shuffle(ab, cd, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  );
}

// Without an activation the residual can come first, and may then be y itself.
function begin(y: usize, bias: usize, residual: usize, outputs: i32, activation: i32): void {
  if (residual && !activation) {
    if (residual != y) memory.copy(y, residual, at(outputs));
    if (bias) addInPlace(y, bias, outputs);
  } else if (bias) {
    memory.copy(y, bias, at(outputs));
  } else {
    memory.fill(y, 0, at(outputs));
  }
}

// @ts-ignore: decorator
@inline
function addPanel(y: usize, low: v128, high: v128, width: i32): void {
  addVector(y, low, width);
  if (width > 4) addVector(y + 16, high, width - 4);
}

// @ts-ignore: decorator
@inline
function addVector(y: usize, value: v128, width: i32): void {
  if (width >= 4) {
    v128.store(y, f32x4.add(v128.load(y), value));
    return;
  }
  store<f32>(y, load<f32>(y) + f32x4.extract_lane(value, 0));
  if (width > 1) store<f32>(y, load<f32>(y, 4) + f32x4.extract_lane(value, 1), 4);
  if (width > 2) store<f32>(y, load<f32>(y, 8) + f32x4.extract_lane(value, 2), 8);
}

function finish(y: usize, residual: usize, outputs: i32, activation: i32): void {
  if (!activation) return;
  activate(y, outputs, activation);
  if (residual) addInPlace(y, residual, outputs);
}

/** y += x */
export function addInPlace(y: usize, x: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(y + at(i), f32x4.add(v128.load(y + at(i)), v128.load(x + at(i))));
  for (; i < count; i++) store<f32>(y + at(i), load<f32>(y + at(i)) + load<f32>(x + at(i)));
}

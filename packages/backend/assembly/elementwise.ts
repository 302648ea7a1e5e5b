// What a pass does to activations beside products and attention. Vectors take what is left of a row lane by lane.

import { at, exponential, hyperbolicTangent, multiplyAdd, sumLanes } from './simd';

/** The numbers by which callers know the activations. */
// @ts-ignore: decorator
@inline export const RELU: i32 = 1;
// @ts-ignore: decorator
@inline export const SILU: i32 = 2;
// @ts-ignore: decorator
@inline export const GELU: i32 = 3;

// @ts-ignore: decorator
@inline
function lane(x: usize): v128 {
  return f32x4.splat(load<f32>(x));
}

// x·sigmoid(t)
// @ts-ignore: decorator
@inline
function gated(x: v128, t: v128): v128 {
  const e = exponential(f32x4.pmin(f32x4.neg(t), f32x4.splat(88)));
  return f32x4.div(x, f32x4.add(e, f32x4.splat(1)));
}

// (1 + tanh u)/2 is sigmoid(2u), so that the tanh form of GELU is x·sigmoid(2·√(2/π)·(x + 0.044715·x³)).
// @ts-ignore: decorator
@inline
function activated(x: v128, activation: i32): v128 {
  if (activation == RELU) return f32x4.max(x, f32x4.splat(0));
  if (activation == SILU) return gated(x, x);
  const inner = multiplyAdd(f32x4.mul(f32x4.mul(x, x), x), f32x4.splat(0.044715), x);
  return gated(x, f32x4.mul(inner, f32x4.splat(1.5957691216057308)));
}

/** y = activation(y) */
export function activate(y: usize, count: i32, activation: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(y + at(i), activated(v128.load(y + at(i)), activation));
  for (; i < count; i++) store<f32>(y + at(i), f32x4.extract_lane(activated(lane(y + at(i)), activation), 0));
}

/** x = cap·tanh(factor·x); a soft cap where the factor is 1/cap. */
export function softCap(x: usize, count: i32, factor: f32, cap: f32): void {
  const factors = f32x4.splat(factor), caps = f32x4.splat(cap);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(x + at(i), f32x4.mul(caps, hyperbolicTangent(f32x4.mul(v128.load(x + at(i)), factors))));
  }
  for (; i < count; i++) {
    store<f32>(x + at(i), f32x4.extract_lane(f32x4.mul(caps, hyperbolicTangent(f32x4.mul(lane(x + at(i)), factors))), 0));
  }
}

/** What `softCap` multiplies gradients by, from the numbers that it gave: slope·(1 − (capped/cap)²), with slope factor·cap. */
export function softCapSlopes(capped: usize, slopes: usize, count: i32, slope: f32, cap: f32): void {
  for (let i = 0; i < count; i++) {
    const share = load<f32>(capped + at(i)) / cap;
    store<f32>(slopes + at(i), slope * (<f32>1 - share * share));
  }
}

/** x *= by */
export function multiply(x: usize, by: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(x + at(i), f32x4.mul(v128.load(x + at(i)), v128.load(by + at(i))));
  for (; i < count; i++) store<f32>(x + at(i), load<f32>(x + at(i)) * load<f32>(by + at(i)));
}

/** x *= factor */
export function scale(x: usize, factor: f32, count: i32): void {
  const factors = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(x + at(i), f32x4.mul(v128.load(x + at(i)), factors));
  for (; i < count; i++) store<f32>(x + at(i), load<f32>(x + at(i)) * factor);
}

/** y = x/√(mean of x² + epsilon)·gain + residual over rows of `size`; a residual of 0 for none, y itself being one. */
export function rmsNorm(x: usize, gain: usize, residual: usize, y: usize, rows: i32, size: i32, epsilon: f32): void {
  const vectors = size & ~3;
  for (let r = 0; r < rows; r++) {
    let squares = f32x4.splat(0);
    let i = 0;
    for (; i < vectors; i += 4) squares = multiplyAdd(v128.load(x + at(i)), v128.load(x + at(i)), squares);
    let sum = sumLanes(squares);
    for (; i < size; i++) sum += load<f32>(x + at(i)) * load<f32>(x + at(i));
    const factor: f32 = <f32>1 / sqrt<f32>(sum / <f32>size + epsilon);
    const factors = f32x4.splat(factor);
    for (i = 0; i < vectors; i += 4) {
      const normal = f32x4.mul(f32x4.mul(v128.load(x + at(i)), factors), v128.load(gain + at(i)));
      v128.store(y + at(i), residual ? f32x4.add(normal, v128.load(residual + at(i))) : normal);
    }
    for (; i < size; i++) {
      const normal = load<f32>(x + at(i)) * factor * load<f32>(gain + at(i));
      store<f32>(y + at(i), residual ? normal + load<f32>(residual + at(i)) : normal);
    }
    x += at(size);
    y += at(size);
    if (residual) residual += at(size);
  }
}

/** Turns (a, b), the halves of each head, to (a·cos − b·sin, b·cos + a·sin); `angles` [rows, headSize] has the cosines, then the sines. */
export function rotate(x: usize, angles: usize, rows: i32, heads: i32, headSize: i32): void {
  const half = headSize / 2;
  for (let r = 0; r < rows; r++) {
    const sines = angles + at(half);
    for (let h = 0; h < heads; h++) {
      const y = x + at(half);
      let i = 0;
      for (; i + 4 <= half; i += 4) {
        const a = v128.load(x + at(i)), b = v128.load(y + at(i));
        const cos = v128.load(angles + at(i)), sin = v128.load(sines + at(i));
        v128.store(x + at(i), f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)));
        v128.store(y + at(i), f32x4.add(f32x4.mul(b, cos), f32x4.mul(a, sin)));
      }
      for (; i < half; i++) {
        const a = load<f32>(x + at(i)), b = load<f32>(y + at(i));
        const cos = load<f32>(angles + at(i)), sin = load<f32>(sines + at(i));
        store<f32>(x + at(i), a * cos - b * sin);
        store<f32>(y + at(i), b * cos + a * sin);
      }
      x += at(headSize);
    }
    angles += at(headSize);
  }
}

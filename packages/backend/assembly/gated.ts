// The gate of a feed-forward (Shazeer 2020): y = activation(gate)·up, the activation being x·sigmoid(u(x)).

import { at, exponential, multiplyAdd } from './simd';
import { SILU } from './elementwise';

// u(x): x for SiLU, 2·√(2/π)·(x + 0.044715·x³) for the tanh form of GELU.
// @ts-ignore: decorator
@inline
function inner(x: v128, activation: i32): v128 {
  if (activation == SILU) return x;
  const cube = f32x4.mul(f32x4.mul(x, x), x);
  return f32x4.mul(multiplyAdd(cube, f32x4.splat(0.044715), x), f32x4.splat(1.5957691216057308));
}

// @ts-ignore: decorator
@inline
function innerSlope(x: v128, activation: i32): v128 {
  if (activation == SILU) return f32x4.splat(1);
  return multiplyAdd(f32x4.mul(x, x), f32x4.splat(0.21406906), f32x4.splat(1.5957691216057308));
}

// @ts-ignore: decorator
@inline
function sigmoid(u: v128): v128 {
  const e = exponential(f32x4.pmin(f32x4.neg(u), f32x4.splat(88)));
  return f32x4.div(f32x4.splat(1), f32x4.add(e, f32x4.splat(1)));
}

// @ts-ignore: decorator
@inline
function product(g: v128, u: v128, activation: i32): v128 {
  return f32x4.mul(f32x4.mul(g, sigmoid(inner(g, activation))), u);
}

/** y = activation(gate)·up, `activation` being SILU or GELU. */
export function gatedActivation(gate: usize, up: usize, y: usize, count: i32, activation: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) v128.store(y + at(i), product(v128.load(gate + at(i)), v128.load(up + at(i)), activation));
  for (; i < count; i++) {
    const one = product(f32x4.splat(load<f32>(gate + at(i))), f32x4.splat(load<f32>(up + at(i))), activation);
    store<f32>(y + at(i), f32x4.extract_lane(one, 0));
  }
}

// s·(1 + g·(1 − s)·u′), the derivative of g·s(u(g)).
// @ts-ignore: decorator
@inline
function slope(g: v128, s: v128, activation: i32): v128 {
  const rest = f32x4.mul(f32x4.mul(g, f32x4.sub(f32x4.splat(1), s)), innerSlope(g, activation));
  return multiplyAdd(s, rest, s);
}

/** Gradients of `gatedActivation`: dgate and dup like gate and up. */
export function gatedActivationGradient(
  gate: usize, up: usize, dy: usize, dgate: usize, dup: usize, count: i32, activation: i32,
): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const g = v128.load(gate + at(i)), d = v128.load(dy + at(i));
    const s = sigmoid(inner(g, activation));
    v128.store(dgate + at(i), f32x4.mul(f32x4.mul(d, v128.load(up + at(i))), slope(g, s, activation)));
    v128.store(dup + at(i), f32x4.mul(d, f32x4.mul(g, s)));
  }
  for (; i < count; i++) {
    const g = f32x4.splat(load<f32>(gate + at(i)));
    const s = sigmoid(inner(g, activation));
    const d = load<f32>(dy + at(i));
    store<f32>(dgate + at(i), d * load<f32>(up + at(i)) * f32x4.extract_lane(slope(g, s, activation), 0));
    store<f32>(dup + at(i), d * f32x4.extract_lane(f32x4.mul(g, s), 0));
  }
}

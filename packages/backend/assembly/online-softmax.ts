// The one softmax of a token's attention, over whatever is stored for the tokens that it sees. Its state: sums [heads, stride(headSize)]
// of values, maxima [heads] and normalisers [heads].

import { softCap } from './elementwise';
import { at, maxLane, powerOfTwo, sumLanes } from './simd';
import { PAGE, stride } from './pages';

/** Floats of the state. */
// @ts-ignore: decorator
@inline
export function softmaxState(heads: i32, headSize: i32): i32 {
  return heads * (stride(headSize) + 2);
}

/** Starts a softmax over nothing. */
export function beginSoftmax(state: usize, heads: i32, headSize: i32): void {
  const sums = heads * stride(headSize);
  memory.fill(state, 0, at(sums + 2 * heads));
  for (let h = 0; h < heads; h++) store<f32>(state + at(sums + h), -Infinity);
}

/**
 * Scores of some heads from `h` on, of which the first `hidden` and those from `count` on do not count, become weights; sums
 * [heads, width] so far are scaled to a new maximum.
 */
export function weigh(
  row: usize, h: i32, together: i32, count: i32, hidden: i32, heads: i32, width: i32, state: usize, cap: f32,
): void {
  const tops = state + at(heads * width);
  const end = (count + 7) & ~7; // no score from there on is read
  if (cap) softCap(row, together * PAGE, 1, cap);
  if (count < end) hideRows(row, together, count, end, -Infinity);
  if (hidden) hideRows(row, together, 0, hidden, -Infinity);
  for (let i = 0; i < together; i++) {
    raiseMaximum(row + at(i * PAGE), end, state + at((h + i) * width), width, tops + at(h + i), tops + at(heads + h + i));
  }
  for (let i = 0; i < together; i++) exponentiate(row + at(i * PAGE), end, tops + at(h + i), tops + at(heads + h + i));
  if (hidden) hideRows(row, together, 0, hidden, 0);
}

// Sets tokens `first` to `end` − 1 of some rows.
function hideRows(row: usize, rows: i32, first: i32, end: i32, value: f32): void {
  for (let r = 0; r < rows; r++) {
    for (let t = first; t < end; t++) store<f32>(row + at(r * PAGE + t), value);
  }
}

// Finds the maximum of a row's first `count` scores; a new one rescales what was summed before.
function raiseMaximum(row: usize, count: i32, sums: usize, width: i32, top: usize, normaliser: usize): void {
  let largest = v128.load(row), other = v128.load(row, 16);
  for (let t = 8; t < count; t += 8) {
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
function exponentiate(row: usize, count: i32, top: usize, normaliser: usize): void {
  const maximum = v128.load32_splat(top);
  let added = f32x4.splat(0);
  for (let t = 0; t < count; t += 4) {
    const e = powerOfTwo(f32x4.sub(v128.load(row + at(t)), maximum));
    v128.store(row + at(t), e);
    added = f32x4.add(added, e);
  }
  store<f32>(normaliser, load<f32>(normaliser) + sumLanes(added));
}

/** out [heads, headSize] = sums / normalisers */
export function endSoftmax(state: usize, heads: i32, headSize: i32, out: usize): void {
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

/** probabilities [tokens] of a segment, summed over the heads, from what `attend` kept. Takes its `weights` apart. */
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

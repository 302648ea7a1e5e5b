import { at, exponential, exponentialScalar, logarithm, maxLane, sumLanes } from './simd';

/** Vectors that are summed in float32 before their sum goes on in double precision. */
// @ts-ignore: decorator
@inline const BLOCK: i32 = 64;

/**
 * For each row: nll = −log softmax(logits)[target] in nats, and greedy = 1 where the target is the first of the largest logits,
 * else 0. Both are float32; targets are int32.
 */
export function likelihood(logits: usize, targets: usize, nll: usize, greedy: usize, rows: i32, vocabulary: i32): void {
  for (let r = 0; r < rows; r++) {
    const target = load<i32>(targets + at(r));
    const top = largest(logits, vocabulary);
    const sum = sumOfExponentials(logits, vocabulary, top);
    const distance = <f64>top - <f64>load<f32>(logits + at(target));
    // The logarithm knows no NaN.
    store<f32>(nll + at(r), sum == sum ? <f32>(distance + logarithm(sum)) : NaN);
    store<f32>(greedy + at(r), firstOf(logits, vocabulary, top) == target ? 1 : 0);
    logits += at(vocabulary);
  }
}

/** The place of the first of the largest of a row; −1 where it has NaN or +∞, or −∞ alone, which is no distribution. */
export function argMax(row: usize, size: i32): i32 {
  const top = largest(row, size);
  return abs(top) == Infinity || hasNaN(row, size) ? -1 : firstOf(row, size, top);
}

function hasNaN(row: usize, size: i32): bool {
  const vectors = size & ~3;
  let numbers = i32x4.splat(-1);
  let i = 0;
  for (; i < vectors; i += 4) {
    const values = v128.load(row + at(i));
    numbers = v128.and(numbers, f32x4.eq(values, values));
  }
  let all = i32x4.all_true(numbers);
  for (; i < size; i++) {
    const value = load<f32>(row + at(i));
    all = all && value == value;
  }
  return !all;
}

// The place of the first element that is `value`; -1 where none is.
function firstOf(row: usize, size: i32, value: f32): i32 {
  const values = f32x4.splat(value);
  let i = 0;
  while (i + 4 <= size && !v128.any_true(f32x4.eq(v128.load(row + at(i)), values))) i += 4;
  for (; i < size; i++) if (load<f32>(row + at(i)) == value) return i;
  return -1;
}

// NaN is smaller than everything.
function largest(row: usize, size: i32): f32 {
  const vectors = size & ~3;
  let tops = f32x4.splat(-Infinity);
  let i = 0;
  for (; i < vectors; i += 4) tops = f32x4.pmax(tops, v128.load(row + at(i)));
  let top = maxLane(tops);
  for (; i < size; i++) {
    const value = load<f32>(row + at(i));
    if (value > top) top = value;
  }
  return top;
}

/** Σ exp(row − top) */
function sumOfExponentials(row: usize, size: i32, top: f32): f64 {
  const tops = f32x4.splat(top);
  const vectors = size & ~3;
  let sum: f64 = 0;
  let i = 0;
  while (i < vectors) {
    const end = min(i + 4 * BLOCK, vectors);
    let sums = f32x4.splat(0);
    for (; i < end; i += 4) sums = f32x4.add(sums, exponential(f32x4.sub(v128.load(row + at(i)), tops)));
    sum += <f64>sumLanes(sums);
  }
  for (; i < size; i++) sum += <f64>exponentialScalar(load<f32>(row + at(i)) - top);
  return sum;
}

import { at, multiplyAdd } from './simd';

/**
 * One AdamW step in place (Loshchilov and Hutter 2019): decay is decoupled, and both moments are corrected for bias
 * by `correction1` = 1 − β1ᵗ and `correction2` = 1 − β2ᵗ. The gradient is scaled by `gradientScale` first.
 */
export function adamw(
  parameter: usize, gradient: usize, first: usize, second: usize, count: i32,
  learningRate: f32, beta1: f32, beta2: f32, epsilon: f32, decay: f32, correction1: f32, correction2: f32,
  gradientScale: f32,
): void {
  const keep: f32 = <f32>1 - learningRate * decay;
  const rate: f32 = learningRate / correction1;
  const inverse2: f32 = <f32>1 / correction2;
  const beta1s = f32x4.splat(beta1), rest1s = f32x4.splat(<f32>1 - beta1);
  const beta2s = f32x4.splat(beta2), rest2s = f32x4.splat(<f32>1 - beta2);
  const rates = f32x4.splat(rate), keeps = f32x4.splat(keep), epsilons = f32x4.splat(epsilon);
  const inverse2s = f32x4.splat(inverse2), gradientScales = f32x4.splat(gradientScale);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const o = at(i);
    const g = f32x4.mul(v128.load(gradient + o), gradientScales);
    const m = multiplyAdd(beta1s, v128.load(first + o), f32x4.mul(rest1s, g));
    const v = multiplyAdd(beta2s, v128.load(second + o), f32x4.mul(rest2s, f32x4.mul(g, g)));
    v128.store(first + o, m);
    v128.store(second + o, v);
    const step = f32x4.div(f32x4.mul(rates, m), f32x4.add(f32x4.sqrt(f32x4.mul(v, inverse2s)), epsilons));
    v128.store(parameter + o, f32x4.sub(f32x4.mul(v128.load(parameter + o), keeps), step));
  }
  for (; i < count; i++) {
    const o = at(i);
    const g = load<f32>(gradient + o) * gradientScale;
    const m = beta1 * load<f32>(first + o) + (<f32>1 - beta1) * g;
    const v = beta2 * load<f32>(second + o) + (<f32>1 - beta2) * g * g;
    store<f32>(first + o, m);
    store<f32>(second + o, v);
    store<f32>(parameter + o, load<f32>(parameter + o) * keep - (rate * m) / (sqrt<f32>(v * inverse2) + epsilon));
  }
}

/** Σ x², summed in double precision. */
export function sumOfSquares(x: usize, count: i32): f64 {
  let low = f64x2.splat(0), high = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const v = v128.load(x + at(i));
    const a = f64x2.promote_low_f32x4(v);
    const b = f64x2.promote_low_f32x4(i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  const sums = f64x2.add(low, high);
  let sum = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
  for (; i < count; i++) {
    const value = <f64>load<f32>(x + at(i));
    sum += value * value;
  }
  return sum;
}

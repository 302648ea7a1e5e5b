import { at, multiplyAdd, sumLanes } from './simd';

/** Gradients of `rmsNorm` without a residual: dx like x, dgain [size]. With f = 1/√(mean of x² + epsilon), dx is f·(w − x·f²·mean of w·x), w = dy·gain. */
export function rmsNormGradient(
  x: usize, gain: usize, dy: usize, dx: usize, dgain: usize, rows: i32, size: i32, epsilon: f32,
): void {
  const vectors = size & ~3;
  memory.fill(dgain, 0, at(size));
  for (let r = 0; r < rows; r++) {
    let squares = f32x4.splat(0);
    let products = f32x4.splat(0);
    let i = 0;
    for (; i < vectors; i += 4) {
      const value = v128.load(x + at(i));
      squares = multiplyAdd(value, value, squares);
      products = multiplyAdd(f32x4.mul(v128.load(dy + at(i)), v128.load(gain + at(i))), value, products);
    }
    let square = sumLanes(squares);
    let product = sumLanes(products);
    for (; i < size; i++) {
      const value = load<f32>(x + at(i));
      square += value * value;
      product += load<f32>(dy + at(i)) * load<f32>(gain + at(i)) * value;
    }
    const factor: f32 = <f32>1 / sqrt<f32>(square / <f32>size + epsilon);
    const pull = factor * factor * (product / <f32>size);
    const factors = f32x4.splat(factor), pulls = f32x4.splat(pull);
    for (i = 0; i < vectors; i += 4) {
      const value = v128.load(x + at(i)), d = v128.load(dy + at(i));
      const weighted = f32x4.mul(d, v128.load(gain + at(i)));
      v128.store(dx + at(i), f32x4.mul(factors, f32x4.sub(weighted, f32x4.mul(value, pulls))));
      v128.store(dgain + at(i), multiplyAdd(d, f32x4.mul(value, factors), v128.load(dgain + at(i))));
    }
    for (; i < size; i++) {
      const value = load<f32>(x + at(i)), d = load<f32>(dy + at(i));
      store<f32>(dx + at(i), factor * (d * load<f32>(gain + at(i)) - value * pull));
      store<f32>(dgain + at(i), load<f32>(dgain + at(i)) + d * value * factor);
    }
    x += at(size);
    dy += at(size);
    dx += at(size);
  }
}

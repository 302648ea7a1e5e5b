import { at, multiplyAdd, sumLanes } from './simd';

/** y = (x − mean)/sqrt(variance + epsilon)·gamma + beta over rows of `size`; `statistics` takes mean and 1/std per row. */
export function layerNorm(
  x: usize, gamma: usize, beta: usize, y: usize, statistics: usize, rows: i32, size: i32, epsilon: f32,
): void {
  const inverseSize: f32 = <f32>1.0 / <f32>size;
  const vectors = size & ~3;
  for (let r = 0; r < rows; r++) {
    const from = x + at(r * size);
    const to = y + at(r * size);
    let sums = f32x4.splat(0);
    let i = 0;
    for (; i < vectors; i += 4) sums = f32x4.add(sums, v128.load(from + at(i)));
    let sum = sumLanes(sums);
    for (; i < size; i++) sum += load<f32>(from + at(i));
    const mean = sum * inverseSize;
    const means = f32x4.splat(mean);
    sums = f32x4.splat(0);
    for (i = 0; i < vectors; i += 4) {
      const centred = f32x4.sub(v128.load(from + at(i)), means);
      sums = multiplyAdd(centred, centred, sums);
    }
    sum = sumLanes(sums);
    for (; i < size; i++) {
      const centred = load<f32>(from + at(i)) - mean;
      sum += centred * centred;
    }
    const scale: f32 = <f32>1.0 / sqrt<f32>(sum * inverseSize + epsilon);
    const scales = f32x4.splat(scale);
    for (i = 0; i < vectors; i += 4) {
      const normal = f32x4.mul(f32x4.sub(v128.load(from + at(i)), means), scales);
      v128.store(to + at(i), multiplyAdd(normal, v128.load(gamma + at(i)), v128.load(beta + at(i))));
    }
    for (; i < size; i++) {
      const normal = (load<f32>(from + at(i)) - mean) * scale;
      store<f32>(to + at(i), normal * load<f32>(gamma + at(i)) + load<f32>(beta + at(i)));
    }
    store<f32>(statistics + at(2 * r), mean);
    store<f32>(statistics + at(2 * r + 1), scale);
  }
}

/** Gradients of `layerNorm`: dx like x, dgamma and dbeta [size]. */
export function layerNormGradient(
  x: usize, gamma: usize, statistics: usize, dy: usize, dx: usize, dgamma: usize, dbeta: usize, rows: i32, size: i32,
): void {
  const inverseSize: f32 = <f32>1.0 / <f32>size;
  const vectors = size & ~3;
  memory.fill(dgamma, 0, at(size));
  memory.fill(dbeta, 0, at(size));
  for (let r = 0; r < rows; r++) {
    const from = x + at(r * size);
    const up = dy + at(r * size);
    const to = dx + at(r * size);
    const mean = load<f32>(statistics + at(2 * r));
    const scale = load<f32>(statistics + at(2 * r + 1));
    const means = f32x4.splat(mean);
    const scales = f32x4.splat(scale);
    let sums = f32x4.splat(0);
    let products = f32x4.splat(0);
    let i = 0;
    for (; i < vectors; i += 4) {
      const normal = f32x4.mul(f32x4.sub(v128.load(from + at(i)), means), scales);
      const d = v128.load(up + at(i));
      const weighted = f32x4.mul(d, v128.load(gamma + at(i)));
      sums = f32x4.add(sums, weighted);
      products = multiplyAdd(weighted, normal, products);
      v128.store(dgamma + at(i), multiplyAdd(d, normal, v128.load(dgamma + at(i))));
      v128.store(dbeta + at(i), f32x4.add(v128.load(dbeta + at(i)), d));
    }
    let sum = sumLanes(sums);
    let product = sumLanes(products);
    for (; i < size; i++) {
      const normal = (load<f32>(from + at(i)) - mean) * scale;
      const d = load<f32>(up + at(i));
      const weighted = d * load<f32>(gamma + at(i));
      sum += weighted;
      product += weighted * normal;
      store<f32>(dgamma + at(i), load<f32>(dgamma + at(i)) + d * normal);
      store<f32>(dbeta + at(i), load<f32>(dbeta + at(i)) + d);
    }
    const meanUp = sum * inverseSize;
    const meanProduct = product * inverseSize;
    const meansUp = f32x4.splat(meanUp);
    const meansProduct = f32x4.splat(meanProduct);
    for (i = 0; i < vectors; i += 4) {
      const normal = f32x4.mul(f32x4.sub(v128.load(from + at(i)), means), scales);
      const weighted = f32x4.mul(v128.load(up + at(i)), v128.load(gamma + at(i)));
      const inner = f32x4.sub(f32x4.sub(weighted, meansUp), f32x4.mul(normal, meansProduct));
      v128.store(to + at(i), f32x4.mul(scales, inner));
    }
    for (; i < size; i++) {
      const normal = (load<f32>(from + at(i)) - mean) * scale;
      const weighted = load<f32>(up + at(i)) * load<f32>(gamma + at(i));
      store<f32>(to + at(i), scale * (weighted - meanUp - normal * meanProduct));
    }
  }
}

import { at, exponential, exponentialScalar, logarithm, maxLane, multiplyAdd, sumLanes } from './simd';
import { multiply, softCap, softCapSlopes } from './elementwise';
import { ACCUMULATE, gemmPacked, packB, packedSize, panelSize } from './gemm';

/** Rows whose logits, the student's and the teacher's, are held at a time. */
// @ts-ignore: decorator
@inline const BLOCK: i32 = 64;

/** Floats of scratch for `linearDistillation`. */
export function distillationScratch(size: i32, teacherSize: i32, vocabulary: i32): i32 {
  const products = packedSize(size, vocabulary) + packedSize(teacherSize, vocabulary) + packedSize(vocabulary, size) + packedSize(BLOCK, size);
  return panelSize() + products + 2 * BLOCK * vocabulary + vocabulary;
}

/**
 * For rows with a target, nll[row] = −log q[target] and kl[row] = Σ p·log(p/q) in nats, with q = softmax(x·wᵀ) and
 * p = softmax(teacherX·teacherWᵀ); 0 for the others. Also dx and dw, the gradients of the mean over the `counted` rows of
 * (1 − share)·nll + share·kl. Logits exist for BLOCK rows at a time, and are capped unless the cap is 0.
 */
export function linearDistillation(
  x: usize, w: usize, teacherX: usize, teacherW: usize, targets: usize, nll: usize, kl: usize, dx: usize, dw: usize,
  rows: i32, size: i32, teacherSize: i32, vocabulary: i32, counted: i32, scratch: usize, cap: f32, teacherCap: f32, share: f32,
): void {
  const panel = scratch;
  const packed = panel + at(panelSize());
  const teacherPacked = packed + at(packedSize(size, vocabulary));
  const packedBack = teacherPacked + at(packedSize(teacherSize, vocabulary));
  const packedRows = packedBack + at(packedSize(vocabulary, size));
  const logits = packedRows + at(packedSize(BLOCK, size));
  const teacherLogits = logits + at(BLOCK * vocabulary);
  const slopes = teacherLogits + at(BLOCK * vocabulary);
  packB(w, size, true, size, vocabulary, packed);
  packB(teacherW, teacherSize, true, teacherSize, vocabulary, teacherPacked);
  packB(w, size, false, vocabulary, size, packedBack);
  memory.fill(dw, 0, at(vocabulary * size));
  const weight: f32 = counted > 0 ? <f32>1 / <f32>counted : 0;
  for (let r0 = 0; r0 < rows; r0 += BLOCK) {
    const height = min(BLOCK, rows - r0);
    const block = x + at(r0 * size);
    gemmPacked(block, size, false, packed, size, vocabulary, logits, vocabulary, height, vocabulary, size, 0, 0, panel);
    gemmPacked(
      teacherX + at(r0 * teacherSize), teacherSize, false, teacherPacked, teacherSize, vocabulary,
      teacherLogits, vocabulary, height, vocabulary, teacherSize, 0, 0, panel,
    );
    for (let r = r0; r < r0 + height; r++) {
      const target = load<i32>(targets + at(r));
      const row = logits + at((r - r0) * vocabulary);
      const teacher = teacherLogits + at((r - r0) * vocabulary);
      if (target < 0) {
        memory.fill(row, 0, at(vocabulary));
        store<f32>(nll + at(r), 0);
        store<f32>(kl + at(r), 0);
        continue;
      }
      if (cap) softCap(row, vocabulary, <f32>1 / cap, cap);
      if (teacherCap) softCap(teacher, vocabulary, <f32>1 / teacherCap, teacherCap);
      if (cap) softCapSlopes(row, slopes, vocabulary, 1, cap);
      store<f32>(kl + at(r), divergenceRow(row, teacher, target, vocabulary, weight, share, nll + at(r)));
      if (cap) multiply(row, slopes, vocabulary);
    }
    gemmPacked(
      logits, vocabulary, false, packedBack, vocabulary, size,
      dx + at(r0 * size), size, height, size, vocabulary, 0, 0, panel,
    );
    packB(block, size, false, height, size, packedRows);
    gemmPacked(logits, vocabulary, true, packedRows, height, size, dw, size, vocabulary, size, height, 0, ACCUMULATE, panel);
  }
}

// @ts-ignore: decorator
@inline
function largest(row: usize, size: i32): f32 {
  let tops = f32x4.splat(-Infinity);
  let i = 0;
  for (; i + 4 <= size; i += 4) tops = f32x4.max(tops, v128.load(row + at(i)));
  let top = maxLane(tops);
  for (; i < size; i++) top = max(top, load<f32>(row + at(i)));
  return top;
}

// Returns Σ p·log(p/q) and stores −log q[target]; the row becomes weight·(q − share·p − (1 − share)·onehot), the teacher's e^(t − max t).
function divergenceRow(row: usize, teacher: usize, target: i32, size: i32, weight: f32, share: f32, nll: usize): f32 {
  const top = largest(row, size), teacherTop = largest(teacher, size);
  const correct = load<f32>(row + at(target)) - top;
  const tops = f32x4.splat(top), teacherTops = f32x4.splat(teacherTop);
  let sums = f32x4.splat(0), teacherSums = f32x4.splat(0), products = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= size; i += 4) {
    const s = f32x4.sub(v128.load(row + at(i)), tops), t = f32x4.sub(v128.load(teacher + at(i)), teacherTops);
    const q = exponential(s), p = exponential(t);
    sums = f32x4.add(sums, q);
    teacherSums = f32x4.add(teacherSums, p);
    products = multiplyAdd(p, f32x4.sub(t, s), products);
    v128.store(row + at(i), q);
    v128.store(teacher + at(i), p);
  }
  let sum = sumLanes(sums), teacherSum = sumLanes(teacherSums), product = sumLanes(products);
  for (; i < size; i++) {
    const s = load<f32>(row + at(i)) - top, t = load<f32>(teacher + at(i)) - teacherTop;
    const q = exponentialScalar(s), p = exponentialScalar(t);
    sum += q;
    teacherSum += p;
    product += p * (t - s);
    store<f32>(row + at(i), q);
    store<f32>(teacher + at(i), p);
  }
  const scale = weight / sum, teacherScale = -share * weight / teacherSum;
  const scales = f32x4.splat(scale), teacherScales = f32x4.splat(teacherScale);
  for (i = 0; i + 4 <= size; i += 4) {
    v128.store(row + at(i), multiplyAdd(v128.load(teacher + at(i)), teacherScales, f32x4.mul(v128.load(row + at(i)), scales)));
  }
  for (; i < size; i++) store<f32>(row + at(i), load<f32>(row + at(i)) * scale + load<f32>(teacher + at(i)) * teacherScale);
  store<f32>(row + at(target), load<f32>(row + at(target)) - (<f32>1 - share) * weight);
  const logSum = <f32>logarithm(<f64>sum);
  store<f32>(nll, logSum - correct);
  return product / teacherSum + logSum - <f32>logarithm(<f64>teacherSum);
}

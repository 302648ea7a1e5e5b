import { at, exponential, exponentialScalar, logarithm, maxLane, sumLanes } from './simd';
import { multiply, softCap, softCapSlopes } from './elementwise';
import { ACCUMULATE, gemmPacked, packB, packedSize, panelSize } from './gemm';

/** Rows whose logits are held at a time: with a vocabulary of 2048 they fill half a megabyte. */
// @ts-ignore: decorator
@inline const BLOCK: i32 = 64;

/** Floats of scratch for `linearCrossEntropy`. */
export function crossEntropyScratch(size: i32, vocabulary: i32, gradient: bool): i32 {
  const forward = panelSize() + packedSize(size, vocabulary) + BLOCK * vocabulary;
  return gradient ? forward + packedSize(vocabulary, size) + packedSize(BLOCK, size) + vocabulary : forward;
}

/**
 * nll[row] = −log softmax(x·wᵀ)[target], in nats, 0 where the target is negative. When `dx` and `dw` are given, also
 * the gradients of the mean of nll over the `counted` rows with a target. The logits exist for BLOCK rows at a time, and become
 * cap·tanh(logits/cap) unless `cap` is 0.
 */
export function linearCrossEntropy(
  x: usize, w: usize, targets: usize, nll: usize, dx: usize, dw: usize,
  rows: i32, size: i32, vocabulary: i32, counted: i32, scratch: usize, cap: f32,
): void {
  const panel = scratch;
  const packed = panel + at(panelSize());
  const logits = packed + at(packedSize(size, vocabulary));
  const packedBack = logits + at(BLOCK * vocabulary);
  const packedRows = packedBack + at(packedSize(vocabulary, size));
  const slopes = packedRows + at(packedSize(BLOCK, size));
  packB(w, size, true, size, vocabulary, packed);
  if (dx) {
    packB(w, size, false, vocabulary, size, packedBack);
    memory.fill(dw, 0, at(vocabulary * size));
  }
  const weight: f32 = counted > 0 ? <f32>1 / <f32>counted : 0;
  for (let r0 = 0; r0 < rows; r0 += BLOCK) {
    const height = min(BLOCK, rows - r0);
    const block = x + at(r0 * size);
    if (!anyTarget(targets + at(r0), height)) {
      memory.fill(nll + at(r0), 0, at(height));
      if (dx) memory.fill(dx + at(r0 * size), 0, at(height * size));
      continue;
    }
    gemmPacked(block, size, false, packed, size, vocabulary, logits, vocabulary, height, vocabulary, size, 0, 0, panel);
    for (let r = 0; r < height; r++) {
      const target = load<i32>(targets + at(r0 + r));
      const row = logits + at(r * vocabulary);
      if (cap) softCap(row, vocabulary, <f32>1 / cap, cap);
      if (cap && dx) softCapSlopes(row, slopes, vocabulary, 1, cap);
      store<f32>(nll + at(r0 + r), softmaxRow(row, target, vocabulary, dx != 0, weight));
      if (cap && dx) multiply(row, slopes, vocabulary);
    }
    if (!dx) continue;
    gemmPacked(
      logits, vocabulary, false, packedBack, vocabulary, size,
      dx + at(r0 * size), size, height, size, vocabulary, 0, 0, panel,
    );
    packB(block, size, false, height, size, packedRows);
    gemmPacked(logits, vocabulary, true, packedRows, height, size, dw, size, vocabulary, size, height, 0, ACCUMULATE, panel);
  }
}

function anyTarget(targets: usize, rows: i32): bool {
  for (let r = 0; r < rows; r++) if (load<i32>(targets + at(r)) >= 0) return true;
  return false;
}

// Returns the row's loss; with `gradient` the row becomes weight·(softmax − onehot), or zeros without a target.
function softmaxRow(row: usize, target: i32, size: i32, gradient: bool, weight: f32): f32 {
  if (target < 0) {
    if (gradient) memory.fill(row, 0, at(size));
    return 0;
  }
  const vectors = size & ~3;
  let largest = f32x4.splat(-Infinity);
  let i = 0;
  for (; i < vectors; i += 4) largest = f32x4.max(largest, v128.load(row + at(i)));
  let top = maxLane(largest);
  for (; i < size; i++) top = max(top, load<f32>(row + at(i)));
  const tops = f32x4.splat(top);
  const correct = load<f32>(row + at(target));
  let sums = f32x4.splat(0);
  for (i = 0; i < vectors; i += 4) {
    const e = exponential(f32x4.sub(v128.load(row + at(i)), tops));
    if (gradient) v128.store(row + at(i), e);
    sums = f32x4.add(sums, e);
  }
  let sum = sumLanes(sums);
  for (; i < size; i++) {
    const e = exponentialScalar(load<f32>(row + at(i)) - top);
    if (gradient) store<f32>(row + at(i), e);
    sum += e;
  }
  if (gradient) {
    const scale = weight / sum;
    const scales = f32x4.splat(scale);
    for (i = 0; i < vectors; i += 4) v128.store(row + at(i), f32x4.mul(v128.load(row + at(i)), scales));
    for (; i < size; i++) store<f32>(row + at(i), load<f32>(row + at(i)) * scale);
    store<f32>(row + at(target), load<f32>(row + at(target)) - weight);
  }
  return top - correct + <f32>logarithm(<f64>sum);
}

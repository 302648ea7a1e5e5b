// Causal grouped-query attention for training and prefill. Scores exist for one block of queries at a time; the
// backward pass computes them again from the saved log-sum-exp (Dao et al. 2022), so no T×T matrix is kept.

import { at, exponential, exponentialScalar, logarithm, maxLane, sumLanes } from './simd';
import { multiply, softCap, softCapSlopes } from './elementwise';
import { ACCUMULATE, gemmPacked, KC, NR, packB, packedSize, panelSize } from './gemm';
import { addInPlace } from './packed-linear';

/** Queries whose scores are held at a time. */
// @ts-ignore: decorator
@inline const BLOCK: i32 = 64;

/** Floats of scratch for `causalAttention` and `causalAttentionGradient`. */
export function attentionScratch(length: i32, headSize: i32): i32 {
  return (
    panelSize() + 2 * packedSize(headSize, length) + packedSize(length, headSize) +
    2 * BLOCK * length + packedSize(BLOCK, headSize) + length
  );
}

/**
 * out [batch·rows, heads·headSize] = softmax(scale·q·kᵀ)·v with a causal mask, for the last `rows` tokens of each sequence; k and v
 * [batch·length, kvHeads·headSize] are of all, and each KV head serves heads/kvHeads query heads, of which those of the KV heads from
 * `firstHead` up to `endHead` are computed. `logSumExp` [batch, heads, rows] is kept for the backward pass. Unless it is 0,
 * `received` [batch, length] gets what each token got, added: probabilities summed over queries and heads. A query sees the last
 * `window` tokens up to itself; scores s become cap·tanh(s/cap), unless `cap` is 0. The numbers of a row do not depend on `rows`.
 */
export function causalAttention(
  q: usize, k: usize, v: usize, out: usize, logSumExp: usize,
  batch: i32, length: i32, heads: i32, kvHeads: i32, headSize: i32, scale: f32, scratch: usize, received: usize,
  window: i32, cap: f32, rows: i32, firstHead: i32, endHead: i32,
): void {
  const ldq = heads * headSize, ldk = kvHeads * headSize, group = heads / kvHeads;
  const before = length - rows;
  const panel = scratch;
  const keys = panel + at(panelSize());
  const values = keys + at(packedSize(headSize, length));
  const scores = values + at(packedSize(length, headSize));
  for (let b = 0; b < batch; b++) {
    for (let kvHead = firstHead; kvHead < endHead; kvHead++) {
      const kv = at(b * length * ldk + kvHead * headSize);
      packB(k + kv, ldk, true, headSize, length, keys);
      packB(v + kv, ldk, false, length, headSize, values);
      for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
        const lse = logSumExp + at((b * heads + head) * rows);
        for (let t0 = before; t0 < length; t0 += BLOCK) {
          const height = min(BLOCK, length - t0);
          const first = firstKey(t0, window, headSize);
          const width = t0 + height - first;
          const own = at((b * rows + t0 - before) * ldq + head * headSize);
          gemmPacked(
            q + own, ldq, false, keys + at(first * headSize), headSize, length, scores, width, height, width, headSize, 0, 0, panel,
          );
          for (let r = 0; r < height; r++) {
            const row = scores + at(r * width);
            const visible = t0 + r + 1 - first;
            const hidden = max(0, visible - window);
            if (cap) softCap(row + at(hidden), visible - hidden, scale / cap, cap);
            if (hidden) memory.fill(row, 0, at(hidden));
            const sum = softmaxCausalRow(row + at(hidden), visible - hidden, width - hidden, cap ? 1 : scale);
            store<f32>(lse + at(t0 - before + r), sum);
            if (received) addInPlace(received + at(b * length + first), row, visible);
          }
          gemmPacked(
            scores, width, false, values + at(first * roundedUp(headSize)), length - first, headSize, out + own, ldq,
            height, headSize, width, 0, 0, panel,
          );
        }
      }
    }
  }
}

// A token that no query from t0 on sees, nor any before it: where packed keys and values both begin a block.
// @ts-ignore: decorator
@inline
function firstKey(t0: i32, window: i32, headSize: i32): i32 {
  return headSize > KC || t0 < window ? 0 : (t0 - window + 1) & ~(KC - 1);
}

// @ts-ignore: decorator
@inline
function roundedUp(columns: i32): i32 {
  return (columns + NR - 1) & ~(NR - 1);
}

// The first `visible` of `width` scores become probabilities, the rest zero; returns log Σ exp(scale·score).
function softmaxCausalRow(row: usize, visible: i32, width: i32, scale: f32): f32 {
  const scales = f32x4.splat(scale);
  const vectors = visible & ~3;
  let largest = f32x4.splat(-Infinity);
  let i = 0;
  for (; i < vectors; i += 4) {
    const s = f32x4.mul(v128.load(row + at(i)), scales);
    v128.store(row + at(i), s);
    largest = f32x4.max(largest, s);
  }
  let top = maxLane(largest);
  for (; i < visible; i++) {
    const s = load<f32>(row + at(i)) * scale;
    store<f32>(row + at(i), s);
    top = max(top, s);
  }
  const tops = f32x4.splat(top);
  let sums = f32x4.splat(0);
  for (i = 0; i < vectors; i += 4) {
    const e = exponential(f32x4.sub(v128.load(row + at(i)), tops));
    v128.store(row + at(i), e);
    sums = f32x4.add(sums, e);
  }
  let sum = sumLanes(sums);
  for (; i < visible; i++) {
    const e = exponentialScalar(load<f32>(row + at(i)) - top);
    store<f32>(row + at(i), e);
    sum += e;
  }
  const inverse: f32 = <f32>1 / sum;
  const inverses = f32x4.splat(inverse);
  for (i = 0; i < vectors; i += 4) v128.store(row + at(i), f32x4.mul(v128.load(row + at(i)), inverses));
  for (; i < visible; i++) store<f32>(row + at(i), load<f32>(row + at(i)) * inverse);
  memory.fill(row + at(visible), 0, at(width - visible));
  return top + <f32>logarithm(<f64>sum);
}

/** Gradients of `causalAttention` with the same `window` and `cap`: dq like q; dk and dv like k and v. */
export function causalAttentionGradient(
  q: usize, k: usize, v: usize, logSumExp: usize, dout: usize, dq: usize, dk: usize, dv: usize,
  batch: i32, length: i32, heads: i32, kvHeads: i32, headSize: i32, scale: f32, scratch: usize,
  window: i32, cap: f32,
): void {
  const ldq = heads * headSize, ldk = kvHeads * headSize, group = heads / kvHeads;
  const panel = scratch;
  const keysT = panel + at(panelSize());
  const valuesT = keysT + at(packedSize(headSize, length));
  const keys = valuesT + at(packedSize(headSize, length));
  const probabilities = keys + at(packedSize(length, headSize));
  const dscores = probabilities + at(BLOCK * length);
  const packedRows = dscores + at(BLOCK * length);
  const slopes = packedRows + at(packedSize(BLOCK, headSize));
  memory.fill(dk, 0, at(batch * length * ldk));
  memory.fill(dv, 0, at(batch * length * ldk));
  for (let b = 0; b < batch; b++) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const kv = at(b * length * ldk + kvHead * headSize);
      packB(k + kv, ldk, true, headSize, length, keysT);
      packB(v + kv, ldk, true, headSize, length, valuesT);
      packB(k + kv, ldk, false, length, headSize, keys);
      for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
        const lse = logSumExp + at((b * heads + head) * length);
        for (let t0 = 0; t0 < length; t0 += BLOCK) {
          const height = min(BLOCK, length - t0);
          const first = firstKey(t0, window, headSize);
          const width = t0 + height - first;
          const rows = at((b * length + t0) * ldq + head * headSize);
          gemmPacked(
            q + rows, ldq, false, keysT + at(first * headSize), headSize, length, probabilities, width, height, width, headSize, 0, 0, panel,
          );
          gemmPacked(
            dout + rows, ldq, false, valuesT + at(first * headSize), headSize, length, dscores, width, height, width, headSize, 0, 0, panel,
          );
          for (let r = 0; r < height; r++) {
            const visible = t0 + r + 1 - first;
            const hidden = max(0, visible - window);
            const p = probabilities + at(r * width), dp = dscores + at(r * width);
            if (hidden) {
              memory.fill(p, 0, at(hidden));
              memory.fill(dp, 0, at(hidden));
            }
            const seen = visible - hidden;
            if (cap) {
              softCap(p + at(hidden), seen, scale / cap, cap);
              softCapSlopes(p + at(hidden), slopes, seen, scale, cap);
            }
            scoreGradientRow(p + at(hidden), dp + at(hidden), load<f32>(lse + at(t0 + r)), seen, width - hidden, cap ? 1 : scale);
            if (cap) multiply(dp + at(hidden), slopes, seen);
          }
          gemmPacked(
            dscores, width, false, keys + at(first * roundedUp(headSize)), length - first, headSize, dq + rows, ldq,
            height, headSize, width, 0, 0, panel,
          );
          packB(dout + rows, ldq, false, height, headSize, packedRows);
          gemmPacked(
            probabilities, width, true, packedRows, height, headSize,
            dv + kv + at(first * ldk), ldk, width, headSize, height, 0, ACCUMULATE, panel,
          );
          packB(q + rows, ldq, false, height, headSize, packedRows);
          gemmPacked(
            dscores, width, true, packedRows, height, headSize,
            dk + kv + at(first * ldk), ldk, width, headSize, height, 0, ACCUMULATE, panel,
          );
        }
      }
    }
  }
}

// Raw scores become probabilities p; dp becomes scale·p·(dp − Σ p·dp). Both are zero beyond `visible`.
function scoreGradientRow(p: usize, dp: usize, logSumExp: f32, visible: i32, width: i32, scale: f32): void {
  const vectors = visible & ~3;
  const scales = f32x4.splat(scale);
  const offsets = f32x4.splat(logSumExp);
  let sums = f32x4.splat(0);
  let i = 0;
  for (; i < vectors; i += 4) {
    const e = exponential(f32x4.sub(f32x4.mul(v128.load(p + at(i)), scales), offsets));
    v128.store(p + at(i), e);
    sums = f32x4.add(sums, f32x4.mul(e, v128.load(dp + at(i))));
  }
  let sum = sumLanes(sums);
  for (; i < visible; i++) {
    const e = exponentialScalar(load<f32>(p + at(i)) * scale - logSumExp);
    store<f32>(p + at(i), e);
    sum += e * load<f32>(dp + at(i));
  }
  const shifts = f32x4.splat(sum);
  for (i = 0; i < vectors; i += 4) {
    const d = f32x4.mul(f32x4.sub(v128.load(dp + at(i)), shifts), v128.load(p + at(i)));
    v128.store(dp + at(i), f32x4.mul(d, scales));
  }
  for (; i < visible; i++) {
    store<f32>(dp + at(i), (load<f32>(dp + at(i)) - sum) * load<f32>(p + at(i)) * scale);
  }
  memory.fill(p + at(visible), 0, at(width - visible));
  memory.fill(dp + at(visible), 0, at(width - visible));
}

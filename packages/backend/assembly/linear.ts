import { at } from './simd';
import { gemm, packedSize, panelSize, RELU } from './gemm';

/** Floats of scratch for `linear` and `linearGradient`. */
export function linearScratch(rows: i32, inputs: i32, outputs: i32): i32 {
  return panelSize() + rows * outputs + max(packedSize(inputs, outputs), max(packedSize(outputs, inputs), packedSize(rows, inputs)));
}

/** y [rows, outputs] = activation(x [rows, inputs] · wᵀ + bias); bias may be 0. */
export function linear(
  x: usize, w: usize, bias: usize, y: usize, rows: i32, inputs: i32, outputs: i32, relu: bool, scratch: usize,
): void {
  gemm(x, inputs, false, w, inputs, true, y, outputs, rows, outputs, inputs, bias, relu ? RELU : 0, scratch);
}

/** Gradients of `linear`: dx [rows, inputs], dw [outputs, inputs], dbias [outputs] (skipped when 0). */
export function linearGradient(
  x: usize, w: usize, y: usize, dy: usize, dx: usize, dw: usize, dbias: usize,
  rows: i32, inputs: i32, outputs: i32, relu: bool, scratch: usize,
): void {
  let upstream = dy;
  if (relu) {
    upstream = scratch;
    scratch += at(rows * outputs);
    maskByOutput(y, dy, upstream, rows * outputs);
  }
  gemm(upstream, outputs, false, w, inputs, false, dx, inputs, rows, inputs, outputs, 0, 0, scratch);
  gemm(upstream, outputs, true, x, inputs, false, dw, inputs, outputs, inputs, rows, 0, 0, scratch);
  if (dbias) columnSums(upstream, dbias, rows, outputs);
}

// The derivative of ReLU is 1 where its output is above 0, else 0 (PyTorch's convention at 0).
function maskByOutput(y: usize, dy: usize, to: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(to + at(i), v128.and(v128.load(dy + at(i)), f32x4.gt(v128.load(y + at(i)), f32x4.splat(0))));
  }
  for (; i < count; i++) store<f32>(to + at(i), load<f32>(y + at(i)) > 0 ? load<f32>(dy + at(i)) : <f32>0);
}

function columnSums(x: usize, sums: usize, rows: i32, columns: i32): void {
  memory.fill(sums, 0, at(columns));
  for (let r = 0; r < rows; r++) {
    const row = x + at(r * columns);
    let i = 0;
    for (; i + 4 <= columns; i += 4) v128.store(sums + at(i), f32x4.add(v128.load(sums + at(i)), v128.load(row + at(i))));
    for (; i < columns; i++) store<f32>(sums + at(i), load<f32>(sums + at(i)) + load<f32>(row + at(i)));
  }
}

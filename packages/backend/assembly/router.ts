import { at, multiplyAdd, sumLanes } from './simd';

/** logits [experts] = x [inputs] · wᵀ + bias, for the few rows of a router's w [experts, inputs] as they are. */
export function routerLogits(x: usize, w: usize, bias: usize, logits: usize, inputs: i32, experts: i32): void {
  for (let e = 0; e < experts; e++) {
    let a = f32x4.splat(0), b = a, c = a, d = a;
    let i = 0;
    for (; i + 16 <= inputs; i += 16) {
      const from = x + at(i), row = w + at(i);
      a = multiplyAdd(v128.load(from), v128.load(row), a);
      b = multiplyAdd(v128.load(from, 16), v128.load(row, 16), b);
      c = multiplyAdd(v128.load(from, 32), v128.load(row, 32), c);
      d = multiplyAdd(v128.load(from, 48), v128.load(row, 48), d);
    }
    let sum = sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
    for (; i < inputs; i++) sum += load<f32>(x + at(i)) * load<f32>(w + at(i));
    store<f32>(logits + at(e), sum + load<f32>(bias + at(e)));
    w += at(inputs);
  }
}

import type { Program } from '../../webgpu/device';

const THREADS = 256;

/** Combines what the threads have in `terms` into `terms[0]`, with barriers before and after. */
const combined = (combine: (a: string, b: string) => string) => `
  workgroupBarrier();
  for (var half = ${THREADS / 2}; half > 0; half = half >> 1u) {
    if (t < half) { terms[t] = ${combine('terms[t]', 'terms[t + half]')}; }
    workgroupBarrier();
  }`;

/**
 * For each row of logits the bits of −log softmax[target] in nats, and after those of all rows whether the target is the first of
 * the largest logits; a workgroup for each row. `numbers` has the targets. Infinities and NaN are recognised by their bits, since WGSL
 * lets a compiler take for granted that there are none.
 */
export const likelihoodProgram: Program<'logits' | 'numbers', 'targets' | 'width' | 'rows'> = {
  key: 'likelihood',
  inputs: ['logits', 'numbers'],
  uniforms: { targets: 'i32', width: 'i32', rows: 'i32' },
  threads: THREADS,
  code: `
    const INFINITY = 0x7f800000u;
    const MINUS_INFINITY = 0xff800000u;
    const NAN = 0x7fc00000;
    var<workgroup> terms : array<f32, ${THREADS}>;
    // A NaN or +∞: no distribution.
    var<workgroup> hasNone : atomic<i32>;
    // The largest logit stands before the target, too.
    var<workgroup> isLater : atomic<i32>;
    fn main() {
      let t = i32(localId.x);
      let row = i32(workgroupId.x);
      let first = row * uniforms.width;
      let target_ = numbers[uniforms.targets + row];
      var best = -3.4028234e38;
      for (var i = t; i < uniforms.width; i += ${THREADS}) {
        let logit = logits[first + i];
        let bits = bitcast<u32>(logit);
        if (bits != MINUS_INFINITY) {
          if ((bits & INFINITY) == INFINITY) { atomicStore(&hasNone, 1); } else { best = max(best, logit); }
        }
      }
      terms[t] = best;
      ${combined((a, b) => `max(${a}, ${b})`)}
      let top = terms[0];
      workgroupBarrier();
      // Sums of sums, which lose less to rounding.
      var sum = 0.0;
      for (var begin = t; begin < uniforms.width; begin += ${32 * THREADS}) {
        var part = 0.0;
        for (var i = begin; i < min(begin + ${32 * THREADS}, uniforms.width); i += ${THREADS}) {
          let logit = logits[first + i];
          if (bitcast<u32>(logit) != MINUS_INFINITY) { part += exp(max(logit - top, -87.0)); }
          if (logit == top && i < target_) { atomicStore(&isLater, 1); }
        }
        sum += part;
      }
      terms[t] = sum;
      ${combined((a, b) => `${a} + ${b}`)}
      if (t > 0) { return; }
      let chosen = logits[first + target_];
      var nll = bitcast<i32>(top - chosen + log(terms[0]));
      if (bitcast<u32>(chosen) == MINUS_INFINITY) { nll = i32(INFINITY); }
      // Without a finite logit the sum is 0.
      if (atomicLoad(&hasNone) == 1 || terms[0] == 0.0) { nll = NAN; }
      result[row] = nll;
      result[uniforms.rows + row] = select(0, 1, chosen == top && atomicLoad(&isLater) == 0);
    }`,
};

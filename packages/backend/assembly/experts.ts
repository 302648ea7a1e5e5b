import { at } from './simd';

/**
 * y[token] = x[token] with every run of g = `groupSizes[assignment[token]]` heads replaced by its mean, or with `root`
 * by its sum over √g. A negative assignment (padding) leaves the token as it is. `groupSizes` are int32.
 */
export function groupMean(
  x: usize, assignment: usize, groupSizes: usize, y: usize, tokens: i32, heads: i32, headSize: i32,
  root: bool,
): void {
  const row = heads * headSize;
  for (let t = 0; t < tokens; t++) {
    const expert = load<i32>(assignment + at(t));
    const size = expert < 0 ? 1 : load<i32>(groupSizes + at(expert));
    const from = x + at(t * row);
    const to = y + at(t * row);
    if (size == 1) {
      memory.copy(to, from, at(row));
      continue;
    }
    const inverse: f32 = <f32>1 / (root ? sqrt<f32>(<f32>size) : <f32>size);
    const inverses = f32x4.splat(inverse);
    for (let head = 0; head < heads; head += size) {
      const group = at(head * headSize);
      let d = 0;
      for (; d + 4 <= headSize; d += 4) {
        let sum = v128.load(from + group + at(d));
        for (let j = 1; j < size; j++) sum = f32x4.add(sum, v128.load(from + group + at(j * headSize + d)));
        sum = f32x4.mul(sum, inverses);
        for (let j = 0; j < size; j++) v128.store(to + group + at(j * headSize + d), sum);
      }
      for (; d < headSize; d++) {
        let sum: f32 = 0;
        for (let j = 0; j < size; j++) sum += load<f32>(from + group + at(j * headSize + d));
        for (let j = 0; j < size; j++) store<f32>(to + group + at(j * headSize + d), sum * inverse);
      }
    }
  }
}

// Floats as unsigned integers of the same order; −0 equals 0, and NaN sorts below everything.
// @ts-ignore: decorator
@inline
function orderedBits(value: f32): u32 {
  if (value != value) return 0;
  if (value == 0) return 0x80000000;
  const bits = reinterpret<u32>(value);
  return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

/**
 * Progressive expert choice (paper section 3.2) for one sequence. Experts pick in order; expert e takes, among the
 * tokens that none took before, the min(⌈ratio_e · real tokens⌉, left) with the highest score, ties to the earlier
 * token; the last takes what remains. `capacities` are int32 per expert. Tokens whose `mask` is 0 get −1; mask 0 means all real.
 * The threshold is found by a radix search over the scores' bits: linear time, no sort. `histogram` takes 256 int32.
 */
export function expertChoice(
  scores: usize, mask: usize, capacities: usize, assignment: usize, tokens: i32, experts: i32, histogram: usize,
): void {
  // -2 marks a real token that nobody has taken.
  let left = 0;
  for (let t = 0; t < tokens; t++) {
    const real = !mask || load<i32>(mask + at(t)) != 0;
    store<i32>(assignment + at(t), real ? -2 : -1);
    if (real) left++;
  }
  for (let e = 0; e < experts; e++) {
    const take = e == experts - 1 ? left : min(load<i32>(capacities + at(e)), left);
    if (take == left) {
      for (let t = 0; t < tokens; t++) if (load<i32>(assignment + at(t)) == -2) store<i32>(assignment + at(t), e);
      return;
    }
    if (take == 0) continue;
    // Find the take-th largest key digit by digit; `ties` of the tokens with exactly that key are taken.
    let prefix: u32 = 0;
    let ties = take;
    for (let shift = 24; shift >= 0; shift -= 8) {
      memory.fill(histogram, 0, 1024);
      const fixed: u32 = shift == 24 ? 0 : ~<u32>0 << (shift + 8);
      for (let t = 0; t < tokens; t++) {
        if (load<i32>(assignment + at(t)) != -2) continue;
        const key = orderedBits(load<f32>(scores + at(t * experts + e)));
        if ((key & fixed) != prefix) continue;
        const bin = histogram + at((key >> shift) & 255);
        store<i32>(bin, load<i32>(bin) + 1);
      }
      let digit = 255;
      for (; digit > 0; digit--) {
        const count = load<i32>(histogram + at(digit));
        if (count >= ties) break;
        ties -= count;
      }
      prefix |= <u32>digit << shift;
    }
    for (let t = 0; t < tokens; t++) {
      if (load<i32>(assignment + at(t)) != -2) continue;
      const key = orderedBits(load<f32>(scores + at(t * experts + e)));
      if (key < prefix || (key == prefix && ties == 0)) continue;
      if (key == prefix) ties--;
      store<i32>(assignment + at(t), e);
    }
    left -= take;
  }
}

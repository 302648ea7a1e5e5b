// What the operations of an InferenceRuntime mean, in loops over numbers of double precision.

export type Numbers = ArrayLike<number>;

/** x [rows, inputs] · weightᵀ [inputs, outputs] + bias */
export function plainLinear(x: Numbers, rows: number, weight: Numbers, bias: Numbers | null, outputs: number): Float64Array {
  const inputs = x.length / rows;
  const y = new Float64Array(rows * outputs);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias ? bias[o]! : 0;
      for (let i = 0; i < inputs; i++) sum += x[r * inputs + i]! * weight[o * inputs + i]!;
      y[r * outputs + o] = sum;
    }
  }
  return y;
}

export function plainLayerNorm(x: Numbers, rows: number, gain: Numbers, bias: Numbers): Float64Array {
  const width = x.length / rows;
  const y = new Float64Array(x.length);
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: width }, (_, i) => x[r * width + i]!);
    const mean = row.reduce((a, b) => a + b, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    row.forEach((value, i) => (y[r * width + i] = ((value - mean) / Math.sqrt(variance + 1e-5)) * gain[i]! + bias[i]!));
  }
  return y;
}

/** The halves (a, b) of each head as (a·cos − b·sin, b·cos + a·sin); `angles` [rows, headDim] has cosines, then sines. */
export function plainRotate(x: Numbers, rows: number, angles: Numbers): Float64Array {
  const [width, headDim] = [x.length / rows, angles.length / rows];
  return Float64Array.from({ length: x.length }, (_, at) => {
    const i = at % headDim;
    const half = headDim / 2;
    const first = Math.floor(at / width) * headDim + (i % half);
    const [cos, sin] = [angles[first]!, angles[first + half]!];
    return i < half ? x[at]! * cos - x[at + half]! * sin : x[at]! * cos + x[at - half]! * sin;
  });
}

/** −log softmax(logits)[target], and whether the target is the first of the largest. */
export function plainLikelihood(logits: Numbers, target: number): { nll: number; greedy: boolean } {
  const all = Array.from(logits);
  const largest = all.reduce((a, b) => Math.max(a, b));
  const sum = all.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return { nll: largest - all[target]! + Math.log(sum), greedy: all.indexOf(largest) === target };
}

export interface Heads {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly groupSizes: readonly number[];
  readonly pooling: 'mean' | 'root';
}

/** What an expert stores of one token's keys or values [kvHeads·headDim]: [kvHeads/g·headDim]. */
export function plainPool(x: Numbers, expert: number, { kvHeads, headDim, groupSizes, pooling }: Heads): Float64Array {
  const size = groupSizes[expert]!;
  const stored = new Float64Array((kvHeads / size) * headDim);
  for (let head = 0; head < kvHeads; head++) {
    for (let i = 0; i < headDim; i++) stored[Math.floor(head / size) * headDim + i]! += x[head * headDim + i]!;
  }
  return stored.map((sum) => sum / (pooling === 'mean' ? size : Math.sqrt(size)));
}

/** Stored heads for all of the group again: [kvHeads/g·headDim] to [kvHeads·headDim]. */
export function plainSpread(stored: Numbers, expert: number, { kvHeads, headDim, groupSizes }: Heads): Float64Array {
  const size = groupSizes[expert]!;
  return Float64Array.from({ length: kvHeads * headDim }, (_, i) => {
    return stored[Math.floor(Math.floor(i / headDim) / size) * headDim + (i % headDim)]!;
  });
}

/** Keys and values of a token as they are stored, [heads·headDim]. */
export interface StoredToken {
  readonly k: Numbers;
  readonly v: Numbers;
}

/**
 * Attention of q [heads·headDim] over tokens with any number of stored heads; probabilities are summed over query heads.
 * @param softCap scores s become softCap·tanh(s / softCap); null: they stay as they are
 */
export function plainAttend(q: Numbers, tokens: readonly StoredToken[], heads: number, scale: number, softCap: number | null = null) {
  const headDim = q.length / heads;
  const out = new Float64Array(q.length);
  const probabilities = new Float64Array(tokens.length);
  for (let head = 0; head < heads; head++) {
    const element = (stored: Numbers, i: number) => {
      const storedHeads = stored.length / headDim;
      return stored[Math.floor(head / (heads / storedHeads)) * headDim + i]!;
    };
    const scores = tokens.map(({ k }) => {
      let score = 0;
      for (let i = 0; i < headDim; i++) score += q[head * headDim + i]! * element(k, i);
      return softCap === null ? score * scale : softCap * Math.tanh((score * scale) / softCap);
    });
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const sum = weights.reduce((a, b) => a + b, 0);
    tokens.forEach(({ v }, token) => {
      const probability = weights[token]! / sum;
      probabilities[token]! += probability;
      for (let i = 0; i < headDim; i++) out[head * headDim + i]! += probability * element(v, i);
    });
  }
  return { out, probabilities };
}

// How the heads of one layer are ordered and turned.
import { agreeingTurns } from './agree';
import { bestOrder } from './arrange';
import { type Matrix, transpose } from './matrix';
import { orthogonal, type TurnGroup } from './turn';

/** Which KV heads are to agree. */
export interface Grouping {
  /** Divisors of the KV heads. */
  readonly groupSizes: readonly number[];
  /** The share of the tokens that each group size is for. */
  readonly ratios: readonly number[];
}

/** Sizes of a layer's attention, and how its keys may be turned. */
export interface HeadShape {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly hiddenSize: number;
  readonly keyTurns: TurnGroup;
}

/** What a layer's keys and values are made by. */
export interface LayerMatrices {
  /** [K·d, D], row-major */
  readonly k: Float32Array;
  /** [K·d, D] */
  readonly v: Float32Array;
  /** What the inputs are multiplied by after they were normalised: [D]; null where nothing is. */
  readonly gain: Float32Array | null;
  /** What keys are multiplied by after they were normalised, each head [d] or all together [K·d]; null where they stay as projected. */
  readonly keyGain: Float32Array | null;
}

/** By position: the KV head that comes there, and the turns [d, d] of its keys with their queries, and of its values. */
export interface LayerAlignment {
  readonly order: readonly number[];
  readonly keyTurns: readonly Matrix[];
  readonly valueTurns: readonly Matrix[];
}

/**
 * Orders and turns a layer's KV heads so that keys and values change least when those of a group are replaced by their mean, on
 * inputs that are white but for the norm's gain: x_h = diag(gain)·W_hᵀ [D, d] stands for a head's keys or values. Of those, relative to
 * their mean square, the change is const − 2·Σ_{p<q} w_pq·tr(R_pᵀ·x_pᵀx_q·R_q), where w_pq = Σ ρ_e/g_e over the group sizes at which
 * positions p and q share a group. Norms of keys are taken into account as what they do to keys of the mean size.
 */
export function alignLayer({ k, v, gain, keyGain }: LayerMatrices, shape: HeadShape, grouping: Grouping): LayerAlignment {
  const { kvHeads, headDim: d, hiddenSize: width, keyTurns } = shape;
  const keys = headGrams(keyGain ? normedKeys({ k, gain, keyGain }, kvHeads, d) : k, gain, kvHeads, d, width);
  const values = headGrams(v, gain, kvHeads, d, width);
  const weights = pairWeights(kvHeads, grouping);
  const likeness = keys.map((row, a) =>
    row.map((gram, b) => keyTurns.likeness(gram, d) + orthogonal.likeness(values[a]![b]!, d)),
  );
  const order = bestOrder(likeness, weights);
  const ordered = (grams: Matrix[][]) => order.map((a) => order.map((b) => grams[a]![b]!));
  return {
    order,
    keyTurns: agreeingTurns(ordered(keys), weights, keyTurns, d),
    valueTurns: agreeingTurns(ordered(values), weights, orthogonal, d),
  };
}

/** [K·d, D] that gives keys as their norm would, up to a factor for all of them, on white inputs. */
function normedKeys({ k, gain, keyGain }: Record<'k' | 'keyGain', Float32Array> & Pick<LayerMatrices, 'gain'>, kvHeads: number, d: number): Float32Array {
  const width = k.length / (kvHeads * d);
  const isAlone = keyGain.length === d;
  const block = d * width;
  const result = new Float32Array(k.length);
  for (let head = 0; head < kvHeads; head++) {
    const own = k.subarray(head * block, (head + 1) * block);
    const square = isAlone ? own.reduce((sum, value, i) => sum + (value * (gain?.[i % width] ?? 1)) ** 2, 0) : 1;
    const factor = square > 0 ? 1 / Math.sqrt(square) : 0;
    own.forEach((value, i) => (result[head * block + i] = value * factor * keyGain[(head * d + Math.floor(i / width)) % keyGain.length]!));
  }
  return result;
}

/** w_pq by position, see {@link alignLayer}. */
function pairWeights(count: number, { groupSizes, ratios }: Grouping): number[][] {
  const all = ratios.reduce((a, b) => a + b);
  const weight = (p: number, q: number) => groupSizes.reduce((sum, size, e) => (
    sum + (p !== q && Math.floor(p / size) === Math.floor(q / size) ? ratios[e]! / all / size : 0)
  ), 0);
  return Array.from({ length: count }, (_, p) => Array.from({ length: count }, (_, q) => weight(p, q)));
}

/** xₐᵀx_b of all heads, where the mean of |x_h|² is 1. @param projection [K·d, D] */
function headGrams(projection: Float32Array, gain: Float32Array | null, kvHeads: number, d: number, width: number): Matrix[][] {
  const rows = new Float64Array(projection);
  if (gain) for (let i = 0; i < rows.length; i += width) for (let j = 0; j < width; j++) rows[i + j]! *= gain[j]!;
  const squares = rows.reduce((sum, value) => sum + value * value, 0);
  const factor = squares > 0 ? kvHeads / squares : 0;
  const head = (h: number) => rows.subarray(h * d * width, (h + 1) * d * width);
  const grams: Matrix[][] = Array.from({ length: kvHeads }, () => []);
  for (let a = 0; a < kvHeads; a++) {
    for (let b = a; b < kvHeads; b++) {
      const gram = crossGram(head(a), head(b), d, width).map((value) => value * factor);
      grams[a]![b] = gram;
      grams[b]![a] = a === b ? gram : transpose(gram, d);
    }
  }
  return grams;
}

/** a·bᵀ of [d, D] each. */
function crossGram(a: Float64Array, b: Float64Array, d: number, width: number): Matrix {
  const result = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    let j = 0;
    // Four at a time, so that a row of `a` is read once for them.
    for (; j + 4 <= d; j += 4) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let k = 0; k < width; k++) {
        const x = a[i * width + k]!;
        s0 += x * b[j * width + k]!;
        s1 += x * b[(j + 1) * width + k]!;
        s2 += x * b[(j + 2) * width + k]!;
        s3 += x * b[(j + 3) * width + k]!;
      }
      result.set([s0, s1, s2, s3], i * d + j);
    }
    for (; j < d; j++) for (let k = 0; k < width; k++) result[i * d + j]! += a[i * width + k]! * b[j * width + k]!;
  }
  return result;
}

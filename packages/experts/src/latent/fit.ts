// The basis of a layer's latents, from its weights alone.
import { ArgumentError } from '@mixsga/backend';
import { symmetricEigen } from './symmetric-eigen';

/** A projection of a layer's inputs to keys or values. */
export interface Projection {
  /** float32 [K·d, D], row-major */
  readonly weight: Float32Array;
  /** float32 [K·d] */
  readonly bias: Float32Array | null;
}

export interface LatentInputs {
  readonly k: Projection;
  readonly v: Projection;
  /** What the inputs are multiplied by after they were normalised: [D]; null where nothing is. */
  readonly gain: Float32Array | null;
  /** D */
  readonly inputs: number;
  /** Columns of the basis: the most numbers that a latent will have, up to 2·K·d. */
  readonly rank: number;
}

/** The values of a `LatentBasis`. */
export interface LatentBasisValues {
  /** [2·K·d, rank], row-major */
  readonly weight: Float32Array;
  /** [2·K·d] */
  readonly bias: Float32Array;
  /** [2·K·d] */
  readonly scale: Float32Array;
}

/**
 * The basis in which keys and values lose least when they are cut to a few numbers, on inputs that are white but for the norm's
 * gain: the left singular vectors of [c_k·W_k·G; c_v·W_v·G], the largest first, where G = diag(gain) and c makes the Frobenius norm
 * of either part 1. Since all of it comes from D inputs, D numbers lose nothing.
 *
 * @throws ArgumentError when the shapes do not fit, the rank is beyond them, or a weight is not finite
 */
export function fitLatentBasis({ k, v, gain, inputs, rank }: LatentInputs): LatentBasisValues {
  const half = k.weight.length / inputs;
  if (!Number.isInteger(half) || v.weight.length !== k.weight.length || (gain && gain.length !== inputs)) {
    throw new ArgumentError(
      `fitLatentBasis: expected keys and values of as many rows, each of ${inputs} inputs, got ${k.weight.length} and ${v.weight.length} weights` +
        (gain ? ` and ${gain.length} gains` : ''),
    );
  }
  if (!Number.isInteger(rank) || rank < 1 || rank > 2 * half) {
    throw new ArgumentError(`fitLatentBasis: expected a rank from 1 to ${2 * half}, all numbers of a token, got ${rank}`);
  }
  const rows = new Float64Array(2 * half * inputs);
  const scale = new Float32Array(2 * half);
  [k, v].forEach(({ weight }, part) => {
    const own = rows.subarray(part * half * inputs, (part + 1) * half * inputs);
    own.set(weight);
    if (gain) for (let i = 0; i < own.length; i++) own[i]! *= gain[i % inputs]!;
    const norm = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
    const factor = norm > 0 ? 1 / norm : 1;
    for (let i = 0; i < own.length; i++) own[i]! *= factor;
    scale.fill(factor, part * half, (part + 1) * half);
  });
  const bias = new Float32Array(2 * half);
  if (k.bias) bias.set(k.bias);
  if (v.bias) bias.set(v.bias, half);
  return { weight: leftSingularVectors(rows, 2 * half, inputs, rank), bias, scale };
}

/** How far the columns of a basis that was stored with fewer digits may be from orthonormal. */
const NEARLY = 0.02;

/**
 * Checks the values of a basis from a file.
 * @param rank columns of its weight
 * @throws ArgumentError when a number is not finite, a scale is not above 0, or the columns are not orthonormal
 */
export function checkLatentBasis({ weight, bias, scale }: LatentBasisValues, rank: number): void {
  for (const [name, values] of Object.entries({ weight, bias, scale })) {
    const wrong = values.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) throw new ArgumentError(`latent basis: expected finite numbers, got ${wrong} in its ${name}`);
  }
  const wrong = scale.find((value) => !(value > 0));
  if (wrong !== undefined) throw new ArgumentError(`latent basis: expected scales above 0, got ${wrong}`);
  const columns = transposed(Float64Array.from(weight), weight.length / rank, rank);
  const gram = gramOfRows(columns, rank, weight.length / rank);
  for (let i = 0; i < rank; i++) {
    for (let j = 0; j <= i; j++) {
      const product = gram[i * rank + j]!;
      if (Math.abs(product - Number(i === j)) <= NEARLY) continue;
      throw new ArgumentError(`latent basis: expected orthonormal columns, got a product of ${product.toPrecision(3)} of columns ${j} and ${i}; convert again`);
    }
  }
}

/**
 * The first left singular vectors as columns: [m, rank], from the smaller of the two Gram matrices; completed to an orthonormal basis
 * where the matrix has a lower rank.
 * @param a [m, n]
 */
function leftSingularVectors(a: Float64Array, m: number, n: number, rank: number): Float32Array {
  const found: Float64Array[] = [];
  if (m <= n) {
    const { vectors } = symmetricEigen(gramOfRows(a, m, n), m);
    for (let r = 0; r < rank; r++) found.push(vectors.subarray(r * m, (r + 1) * m));
  } else {
    const { vectors } = symmetricEigen(gramOfRows(transposed(a, m, n), n, m), n);
    for (let r = 0; r < Math.min(rank, n); r++) {
      const vector = vectors.subarray(r * n, (r + 1) * n);
      found.push(Float64Array.from({ length: m }, (_, i) => dot(a.subarray(i * n, (i + 1) * n), vector)));
    }
  }
  const basis = orthonormalised(found, m, rank);
  const columns = new Float32Array(m * rank);
  basis.forEach((vector, r) => vector.forEach((value, i) => (columns[i * rank + r] = value)));
  return columns;
}

/** Vectors shorter than this, relative to the longest, are rounding. */
const TINY = 1e-7;

/** The vectors made orthonormal in order (Gram and Schmidt, twice); those that are rounding are left out, and unit vectors make up the count. */
function orthonormalised(vectors: readonly Float64Array[], size: number, count: number): Float64Array[] {
  const lengths = vectors.map(norm);
  const least = TINY * Math.max(...lengths);
  const basis: Float64Array[] = [];
  vectors.forEach((vector, i) => {
    if (lengths[i]! > least) basis.push(besides(basis, vector));
  });
  while (basis.length < count) {
    // The unit vector of which the basis has least.
    const had = Array.from({ length: size }, (_, i) => basis.reduce((sum, other) => sum + other[i]! ** 2, 0));
    const unit = new Float64Array(size);
    unit[had.indexOf(Math.min(...had))] = 1;
    basis.push(besides(basis, unit));
  }
  return basis;
}

/** What a vector is besides an orthonormal basis, of length 1. */
function besides(basis: readonly Float64Array[], vector: Float64Array): Float64Array {
  const rest = vector.slice();
  for (let pass = 0; pass < 2; pass++) {
    for (const other of basis) {
      const along = dot(other, rest);
      for (let i = 0; i < rest.length; i++) rest[i]! -= along * other[i]!;
    }
  }
  const length = norm(rest);
  return rest.map((value) => value / length);
}

/** a·aᵀ of [m, n], of which the lower triangle is filled. */
function gramOfRows(a: Float64Array, m: number, n: number): Float64Array {
  const gram = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    const row = a.subarray(i * n, (i + 1) * n);
    for (let j = 0; j <= i; j++) gram[i * m + j] = dot(row, a.subarray(j * n, (j + 1) * n));
  }
  return gram;
}

function transposed(a: Float64Array, m: number, n: number): Float64Array {
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) result[j * m + i] = a[i * n + j]!;
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function norm(a: Float64Array): number {
  return Math.sqrt(dot(a, a));
}

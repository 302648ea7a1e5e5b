// Eigenvectors of symmetric matrices, float64 [n, n] row-major.
import { ArgumentError } from '@mixsga/backend';

export interface Eigen {
  /** Descending: [n]. */
  readonly values: Float64Array;
  /** Orthonormal, one a row in the order of the values: [n, n]. */
  readonly vectors: Float64Array;
}

/** Steps for an eigenvalue, of which the usual number is two. */
const MAX_STEPS = 60;

/**
 * All eigenvalues and eigenvectors of a symmetric matrix: Householder reflections to tridiagonal form, then the QL iteration with
 * implicit shifts (Golub and Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3). Of n³ work.
 *
 * @param matrix [n, n], of which the lower triangle is read; stays as it is
 * @throws ArgumentError when a number is not finite
 */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  if (!matrix.every(Number.isFinite)) throw new ArgumentError('symmetricEigen: expected finite numbers; are the weights damaged?');
  // Rows of `vectors` become the eigenvectors, so that all rotations work along rows.
  const { diagonal, below, vectors } = tridiagonal(matrix, n);
  diagonalise(diagonal, below, vectors, n);
  const order = Array.from(diagonal, (_, i) => i).sort((a, b) => diagonal[b]! - diagonal[a]!);
  const sorted = new Float64Array(n * n);
  order.forEach((from, to) => sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n));
  return { values: Float64Array.from(order, (i) => diagonal[i]!), vectors: sorted };
}

/**
 * matrix = QᵀTQ with T tridiagonal.
 * @returns the diagonal of T, what is below it (below[i] between i and i + 1, and a 0 at the end), and Q
 */
function tridiagonal(matrix: Float64Array, n: number): { diagonal: Float64Array; below: Float64Array; vectors: Float64Array } {
  const a = matrix.slice();
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) a[i * n + j] = a[j * n + i]!;
  const below = new Float64Array(n);
  const reflections: { v: Float64Array; from: number }[] = [];
  for (let k = 0; k + 2 < n; k++) {
    // The reflection I − 2vvᵀ that maps column k below the diagonal to a multiple of the first unit vector.
    const from = k + 1;
    const v = a.slice(k * n + from, (k + 1) * n);
    const length = Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
    const first = v[0]!;
    below[k] = first > 0 ? -length : length;
    v[0] = first - below[k]!;
    const norm = Math.sqrt(2 * length * (length + Math.abs(first)));
    if (norm === 0) continue;
    for (let i = 0; i < v.length; i++) v[i]! /= norm;
    reflectBothSides(a, v, from, n);
    reflections.push({ v, from });
  }
  if (n > 1) below[n - 2] = a[(n - 1) * n + n - 2]!;
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  // Q = H_last … H_0, made from the last one so that only what is not the identity is touched.
  for (const { v, from } of reflections.toReversed()) {
    for (let i = from; i < n; i++) {
      const row = vectors.subarray(i * n + from, (i + 1) * n);
      let sum = 0;
      for (let j = 0; j < v.length; j++) sum += row[j]! * v[j]!;
      for (let j = 0; j < v.length; j++) row[j]! -= 2 * sum * v[j]!;
    }
  }
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), below, vectors };
}

/** H·a·H of the rows and columns after `from`, for H = I − 2vvᵀ: a − vwᵀ − wvᵀ with w = 2(p − (vᵀp)v), p = a·v. */
function reflectBothSides(a: Float64Array, v: Float64Array, from: number, n: number): void {
  const size = v.length;
  const w = new Float64Array(size);
  let along = 0;
  for (let i = 0; i < size; i++) {
    const row = a.subarray((from + i) * n + from, (from + i + 1) * n);
    let sum = 0;
    for (let j = 0; j < size; j++) sum += row[j]! * v[j]!;
    w[i] = sum;
    along += sum * v[i]!;
  }
  for (let i = 0; i < size; i++) w[i] = 2 * (w[i]! - along * v[i]!);
  for (let i = 0; i < size; i++) {
    const row = a.subarray((from + i) * n + from, (from + i + 1) * n);
    const [vi, wi] = [v[i]!, w[i]!];
    for (let j = 0; j < size; j++) row[j]! -= vi * w[j]! + wi * v[j]!;
  }
}

/** The QL iteration with implicit shifts: `diagonal` becomes the eigenvalues, the rows of `vectors` the eigenvectors. */
function diagonalise(diagonal: Float64Array, below: Float64Array, vectors: Float64Array, n: number): void {
  for (let l = 0; l < n; l++) {
    for (let step = 0; ; step++) {
      let m = l;
      for (; m < n - 1; m++) {
        const size = Math.abs(diagonal[m]!) + Math.abs(diagonal[m + 1]!);
        if (Math.abs(below[m]!) <= Number.EPSILON * size) break;
      }
      if (m === l) break;
      if (step === MAX_STEPS) throw new ArgumentError(`symmetricEigen: no convergence in ${MAX_STEPS} steps for ${n} rows; please report it`);
      sweep(diagonal, below, vectors, { l, m, n });
    }
  }
}

/** One implicit QL step on rows l to m. */
function sweep(d: Float64Array, e: Float64Array, vectors: Float64Array, { l, m, n }: { l: number; m: number; n: number }): void {
  const half = (d[l + 1]! - d[l]!) / (2 * e[l]!);
  const root = Math.hypot(half, 1);
  let g = d[m]! - d[l]! + e[l]! / (half + (half < 0 ? -root : root));
  let [s, c, p] = [1, 1, 0];
  for (let i = m - 1; i >= l; i--) {
    const f = s * e[i]!;
    const b = c * e[i]!;
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      d[i + 1]! -= p;
      e[m] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    const q = (d[i]! - g) * s + 2 * c * b;
    p = s * q;
    d[i + 1] = g + p;
    g = c * q - b;
    rotate(vectors, i, n, c, s);
  }
  d[l]! -= p;
  e[l] = g;
  e[m] = 0;
}

/** Rows i and i + 1 turned by an angle. */
function rotate(vectors: Float64Array, i: number, n: number, c: number, s: number): void {
  const [low, high] = [vectors.subarray(i * n, (i + 1) * n), vectors.subarray((i + 1) * n, (i + 2) * n)];
  for (let k = 0; k < n; k++) {
    const f = high[k]!;
    high[k] = s * low[k]! + c * f;
    low[k] = c * low[k]! - s * f;
  }
}

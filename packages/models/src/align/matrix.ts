// Small dense matrices, float64 [n, n] row-major: the blocks that heads are compared and turned by.
import { ArgumentError } from '@mixsga/backend';

export type Matrix = Float64Array<ArrayBuffer>;

export function identity(n: number): Matrix {
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++) result[i * n + i] = 1;
  return result;
}

export function transpose(a: Matrix, n: number): Matrix {
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) result[j * n + i] = a[i * n + j]!;
  return result;
}

/** sum + factor·a·b, in place. @returns sum */
export function addProduct(sum: Matrix, a: Matrix, b: Matrix, n: number, factor = 1): Matrix {
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) {
      const x = factor * a[i * n + k]!;
      if (x === 0) continue;
      for (let j = 0; j < n; j++) sum[i * n + j]! += x * b[k * n + j]!;
    }
  }
  return sum;
}

/** Σ aᵢⱼ·bᵢⱼ = tr(aᵀ·b) */
export function innerProduct(a: Matrix, b: Matrix): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

/** Steps of Newton's iteration, which takes about ten. */
const MAX_STEPS = 100;

/**
 * The orthogonal factor of a matrix's polar decomposition: of all orthogonal R the one nearest to it, with the largest
 * tr(Rᵀ·matrix) (the orthogonal Procrustes problem, Schönemann 1966). A singular matrix has several, and gets one of them.
 * Newton's iteration with the scaling of Higham (1986).
 *
 * @returns orthogonal to rounding, whatever the rank
 * @throws ArgumentError when a number is not finite
 */
export function polarFactor(matrix: Matrix, n: number): Matrix {
  if (!matrix.every(Number.isFinite)) throw new ArgumentError('polarFactor: expected finite numbers; are the weights damaged?');
  const size = Math.max(...matrix.map(Math.abs));
  if (size === 0) return identity(n);
  let x = matrix.map((value) => value / size);
  for (let step = 0; step < MAX_STEPS; step++) {
    const inverse = inverted(x, n);
    const scale = (normProduct(inverse, n) / normProduct(x, n)) ** 0.25;
    const next = new Float64Array(n * n);
    let [change, length] = [0, 0];
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const value = (scale * x[i * n + j]! + inverse[j * n + i]! / scale) / 2;
        change += (value - x[i * n + j]!) ** 2;
        length += value ** 2;
        next[i * n + j] = value;
      }
    }
    x = next;
    // Quadratic: the next change would be below rounding.
    if (change < 1e-18 * length) return x;
  }
  throw new ArgumentError(`polarFactor: no convergence in ${MAX_STEPS} steps for a matrix of ${n} rows; please report it`);
}

/** ‖x‖₁·‖x‖∞: largest sums of a column and of a row. */
function normProduct(x: Matrix, n: number): number {
  const columns = new Float64Array(n);
  let rows = 0;
  for (let i = 0; i < n; i++) {
    let row = 0;
    for (let j = 0; j < n; j++) {
      const value = Math.abs(x[i * n + j]!);
      row += value;
      columns[j]! += value;
    }
    rows = Math.max(rows, row);
  }
  return rows * Math.max(...columns);
}

/** Smallest pivot, relative to the largest number. */
const TINY = 2 ** -50;

/** By Gauss and Jordan with partial pivoting. Of a singular matrix, the inverse of one that is as near as rounding. */
function inverted(matrix: Matrix, n: number): Matrix {
  const a = matrix.slice();
  const swaps = new Int32Array(n);
  const smallest = TINY * Math.max(...a.map(Math.abs));
  for (let k = 0; k < n; k++) {
    let pivotRow = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(a[i * n + k]!) > Math.abs(a[pivotRow * n + k]!)) pivotRow = i;
    swaps[k] = pivotRow;
    swapRows(a, n, k, pivotRow);
    const found = a[k * n + k]!;
    const pivot = Math.abs(found) < smallest ? smallest : found;
    a[k * n + k] = 1;
    for (let j = 0; j < n; j++) a[k * n + j]! /= pivot;
    for (let i = 0; i < n; i++) {
      const factor = a[i * n + k]!;
      if (i === k || factor === 0) continue;
      a[i * n + k] = 0;
      for (let j = 0; j < n; j++) a[i * n + j]! -= factor * a[k * n + j]!;
    }
  }
  for (let k = n - 1; k >= 0; k--) swapColumns(a, n, k, swaps[k]!);
  return a;
}

function swapRows(a: Matrix, n: number, i: number, k: number): void {
  if (i === k) return;
  for (let j = 0; j < n; j++) [a[i * n + j], a[k * n + j]] = [a[k * n + j]!, a[i * n + j]!];
}

function swapColumns(a: Matrix, n: number, j: number, k: number): void {
  if (j === k) return;
  for (let i = 0; i < n; i++) [a[i * n + j], a[i * n + k]] = [a[i * n + k]!, a[i * n + j]!];
}

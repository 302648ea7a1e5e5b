import { SeededRandom } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { addProduct, identity, innerProduct, type Matrix, polarFactor, transpose } from './matrix';

/** A matrix [n, n] of rank at most `rank`. */
function drawn(n: number, rank: number, seed: number): Matrix {
  const random = new SeededRandom(seed);
  const draw = () => new Float64Array(n * n).map((_, i) => (i % n < rank ? random.normal() : 0));
  return product(draw(), transpose(draw(), n), n);
}

const product = (a: Matrix, b: Matrix, n: number) => addProduct(new Float64Array(n * n), a, b, n);
const largest = (a: Matrix) => Math.max(...a.map(Math.abs));
const difference = (a: Matrix, b: Matrix) => largest(a.map((value, i) => value - b[i]!));
const notOrthogonal = (r: Matrix, n: number) => difference(product(transpose(r, n), r, n), identity(n));

describe('polarFactor', () => {
  it('is the rotation that a positive definite matrix was multiplied by', () => {
    const n = 12;
    const rotation = polarFactor(drawn(n, n, 1), n);
    const half = drawn(n, n, 2);
    const definite = product(half, transpose(half, n), n);
    expect(difference(polarFactor(product(rotation, definite, n), n), rotation)).toBeLessThan(1e-9);
    expect(polarFactor(identity(3), 3)).toEqual(identity(3));
  });

  it('is that of a 2×2 matrix in closed form', () => {
    // [[1, -2], [3, 4]] / |(1 + 4, 3 + 2)|: the rotation by 45 degrees
    const cos = Math.SQRT1_2;
    expect(difference(polarFactor(Float64Array.of(1, -2, 3, 4), 2), Float64Array.of(cos, -cos, cos, cos))).toBeLessThan(1e-15);
  });

  it.each([[1, 1], [7, 7], [16, 16], [16, 15], [16, 1], [16, 0], [64, 40]])('of %d rows and rank %d is orthogonal and the best', (n, rank) => {
    for (let seed = 0; seed < 5; seed++) {
      const matrix = drawn(n, rank, seed);
      const r = polarFactor(matrix, n);
      expect(notOrthogonal(r, n)).toBeLessThan(1e-13);
      // tr(Rᵀ·M) is at its height when Rᵀ·M is symmetric and positive semidefinite.
      const rest = product(transpose(r, n), matrix, n);
      expect(difference(rest, transpose(rest, n))).toBeLessThan(1e-10 * (1 + largest(matrix)));
      for (let other = 0; other < 5; other++) {
        const rival = polarFactor(drawn(n, n, 100 + other), n);
        expect(innerProduct(r, matrix)).toBeGreaterThanOrEqual(innerProduct(rival, matrix));
        const x = rival.subarray(0, n);
        const stretched = Array.from(x, (_, i) => x.reduce((sum, value, j) => sum + rest[i * n + j]! * value, 0));
        expect(x.reduce((sum, value, i) => sum + value * stretched[i]!, 0)).toBeGreaterThan(-1e-10 * (1 + largest(matrix)));
      }
    }
  });

  it('does not mind how large or small the numbers are', () => {
    const matrix = drawn(8, 8, 4);
    const r = polarFactor(matrix, 8);
    for (const factor of [1e-200, 1e-12, 1e200]) expect(difference(polarFactor(matrix.map((x) => x * factor), 8), r)).toBeLessThan(1e-12);
    const stretched = Float64Array.of(1e6, 0, 0, -1e-6);
    expect(polarFactor(stretched, 2)).toEqual(Float64Array.of(1, 0, 0, -1));
    expect(() => polarFactor(Float64Array.of(1, NaN, 0, 1), 2)).toThrow('polarFactor: expected finite numbers');
  });
});

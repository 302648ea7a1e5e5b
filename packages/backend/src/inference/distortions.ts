import type { Grouping } from './runtime';

/**
 * `distortions` of the runtime on arrays: each row of k and v, [rows, width], gives a row of `out`, [rows, 2·(E + 1)]. Sums are of
 * double precision.
 */
export function hostDistortions(
  { headDim, groupSizes, pooling }: Grouping, k: Float32Array, v: Float32Array, out: Float32Array, rows: number,
): void {
  const width = k.length / rows;
  const columns = groupSizes.length + 1;
  [k, v].forEach((x, kind) => {
    for (let row = 0; row < rows; row++) {
      const to = (2 * row + kind) * columns;
      let energy = 0;
      for (let i = row * width; i < (row + 1) * width; i++) energy += x[i]! ** 2;
      out[to] = energy;
      groupSizes.forEach((size, expert) => {
        const divisor = pooling === 'root' ? Math.sqrt(size) : size;
        let lost = 0;
        for (let first = row * width; first < (row + 1) * width; first += size * headDim) {
          for (let i = first; i < first + headDim; i++) {
            let sum = 0;
            for (let j = 0; j < size; j++) sum += x[i + j * headDim]!;
            for (let j = 0; j < size; j++) lost += (x[i + j * headDim]! - sum / divisor) ** 2;
          }
        }
        out[to + 1 + expert] = lost;
      });
    }
  });
}

// The parameters of a layer with its heads in another order, and turned.
import type { Matrix } from './matrix';

/**
 * Rows head by head: position p gets those of the query heads of KV head order[p], each turned, Rᵀ·rows.
 * @param rows [heads·d, C] of a projection, or its bias with C = 1; heads are any multiple of the KV heads
 */
export function turnedRows(rows: Float32Array, order: readonly number[], turns: readonly Matrix[], d: number, heads: number): Float32Array {
  const block = rows.length / heads; // a head's d rows
  const columns = block / d;
  const result = new Float32Array(rows.length);
  const sums = new Float64Array(columns);
  headsOf(order, turns, heads, (turn, from, to) => {
    for (let i = 0; i < d; i++) {
      sums.fill(0);
      for (let j = 0; j < d; j++) {
        const factor = turn[j * d + i]!;
        const at = from * block + j * columns;
        if (factor !== 0) for (let c = 0; c < columns; c++) sums[c]! += factor * rows[at + c]!;
      }
      result.set(sums, to * block + i * columns);
    }
  });
  return result;
}

/** Columns head by head, each head's turned, columns·R. @param matrix [D, heads·d] of the output projection */
export function turnedColumns(matrix: Float32Array, order: readonly number[], turns: readonly Matrix[], d: number, heads: number): Float32Array {
  const result = new Float32Array(matrix.length);
  const sums = new Float64Array(d);
  headsOf(order, turns, heads, (turn, from, to) => {
    for (let row = 0; row < matrix.length; row += heads * d) {
      sums.fill(0);
      for (let j = 0; j < d; j++) {
        const value = matrix[row + from * d + j]!;
        for (let i = 0; i < d; i++) sums[i]! += value * turn[j * d + i]!;
      }
      result.set(sums, row + to * d);
    }
  });
  return result;
}

/** Each head that goes with a KV head, where it was and where it comes. */
function headsOf(
  order: readonly number[], turns: readonly Matrix[], heads: number, visit: (turn: Matrix, from: number, to: number) => void,
): void {
  const each = heads / order.length;
  order.forEach((kvHead, position) => {
    for (let i = 0; i < each; i++) visit(turns[position]!, kvHead * each + i, position * each + i);
  });
}

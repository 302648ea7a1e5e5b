// In which pieces a pass over a text takes its rows. They depend on the model and the length alone, so that a text gives the same numbers
// however busy the machine is.
import type { StorePlan } from '@mixsga/backend';
import type { Parts } from './parts';

/** Tokens `first` up to before `end`. */
export interface Chunk {
  readonly first: number;
  readonly end: number;
  readonly rows: number;
}

/** With fewer rows, fetching and unpacking weights, or keys and values, would take a good part of the time. */
const FEWEST_OF_MATRIX = 24;
const FEWEST_QUERIES = 8;
const FEWEST_OF_HEAD = 4;
const MOST = 1024;

type Cost = Pick<Parts, 'runtime' | 'largestMatrix' | 'shape' | 'kvHeads'>;

/** Tokens of a text for which neither a layer's largest matrix nor the query heads of a KV head take more than `workAtOnce`. */
export function rowsAtOnce({ runtime: { workAtOnce }, largestMatrix, shape, kvHeads }: Cost, tokens: number): number {
  const ofMatrix = Math.max(FEWEST_OF_MATRIX, workAtOnce / largestMatrix);
  const queries = workAtOnce / (2 * tokens * shape.headDim * (shape.heads / kvHeads));
  return Math.floor(Math.min(MOST, Math.max(FEWEST_QUERIES, Math.min(ofMatrix, queries))));
}

/** Rows of logits at a time. A head is a matrix many times as large as the others: fewer rows would make every text slower. */
export function logitRowsAtOnce({ runtime: { workAtOnce }, shape }: Pick<Parts, 'runtime' | 'shape'>): number {
  return Math.max(FEWEST_OF_HEAD, Math.floor((4 * workAtOnce) / (shape.vocabularySize * shape.hiddenSize)));
}

/** All tokens in chunks of about the same length, the first the longest. A row alone would take other kernels, so none is. @param most at least 2 */
export function chunksOf(tokens: number, most: number): Chunk[] {
  const count = Math.ceil(tokens / most);
  return Array.from({ length: count }, (_, i) => {
    const [first, end] = [Math.ceil((i * tokens) / count), Math.ceil(((i + 1) * tokens) / count)];
    return { first, end, rows: end - first };
  });
}

/** Where those of the planned rows go that are in a chunk, by their numbers in it. */
export function plansOf(plans: readonly StorePlan[], { first, end }: Chunk): StorePlan[] {
  return plans.flatMap(({ rows, firstSlot, ...plan }) => {
    const [from, to] = [countBelow(rows, first), countBelow(rows, end)];
    return from < to ? [{ ...plan, firstSlot: firstSlot + from, rows: rows.slice(from, to).map((row) => row - first) }] : [];
  });
}

/** How many of some numbers in ascending order are below a limit. */
function countBelow(sorted: Int32Array, limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

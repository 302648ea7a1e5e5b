// In which pieces a pass over a text takes its rows.
import type { Parts } from './parts';

/** Tokens `first` up to before `end`. */
export interface Chunk {
  readonly first: number;
  readonly end: number;
  readonly rows: number;
}

/** A block of queries of the attention kernels; with fewer, unpacking weights and keys would take a good part of the time. */
const FEWEST = 64;
const MOST = 1024;

/** Tokens that a layer takes about twice `workAtOnce` for, without attention. */
export function rowsAtOnce({ runtime, layerParameters }: Pick<Parts, 'runtime' | 'layerParameters'>): number {
  const rows = (2 * runtime.workAtOnce) / layerParameters;
  return Math.min(MOST, Math.max(FEWEST, Math.floor(rows / FEWEST) * FEWEST));
}

/** All tokens in chunks of about the same length, the first the longest. A row alone would take other kernels, so none is. @param most at least 2 */
export function chunksOf(tokens: number, most: number): Chunk[] {
  const count = Math.ceil(tokens / most);
  return Array.from({ length: count }, (_, i) => {
    const [first, end] = [Math.ceil((i * tokens) / count), Math.ceil(((i + 1) * tokens) / count)];
    return { first, end, rows: end - first };
  });
}

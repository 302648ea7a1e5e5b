/** What a group of g heads becomes: their mean, or their sum over √g. */
export type Pooling = 'mean' | 'root';

/** What the sum of a group of `size` heads is multiplied by. */
export function poolingFactor(pooling: Pooling, size: number): number {
  return 1 / (pooling === 'root' ? Math.sqrt(size) : size);
}

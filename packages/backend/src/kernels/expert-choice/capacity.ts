/** Tokens that an expert with capacity ratio `ratio` takes of `tokens`: ⌈ratio·tokens⌉, free of rounding noise. */
export function expertCapacity(ratio: number, tokens: number): number {
  return Math.max(0, Math.ceil(ratio * tokens - 1e-9));
}

/** How two texts of tokens differ. */
export interface Difference {
  /** Tokens at the beginning that are the same. */
  readonly common: number;
  /** For each token, whether it is not in the other text at its place: outside of a longest common subsequence. */
  readonly left: readonly boolean[];
  readonly right: readonly boolean[];
}

/** Above this number of pairs, tokens are compared place by place. */
const PAIRS = 4_000_000;

export function difference(left: readonly number[], right: readonly number[]): Difference {
  let common = 0;
  while (common < left.length && common < right.length && left[common] === right[common]) common++;
  const marks = (tokens: readonly number[]) => tokens.map((_, i) => i >= common);
  const result = { common, left: marks(left), right: marks(right) };
  const [a, b] = [left.slice(common), right.slice(common)];
  if (a.length * b.length > PAIRS) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      if (a[i] === b[i]) result.left[common + i] = result.right[common + i] = false;
    }
    return result;
  }
  // lengths[i][j]: of the longest common subsequence of what follows a[i] and b[j], those included
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        a[i] === b[j] ? lengths[(i + 1) * width + j + 1]! + 1 : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!);
    }
  }
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) result.left[common + i++] = result.right[common + j++] = false;
    else if (lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!) i++;
    else j++;
  }
  return result;
}

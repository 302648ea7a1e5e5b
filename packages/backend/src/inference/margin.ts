/** The largest of some scores less the second. */
export function marginOf(scores: ArrayLike<number>): number {
  let [first, second] = [-Infinity, -Infinity];
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score > first) [first, second] = [score, first];
    else if (score > second) second = score;
  }
  return first - second;
}

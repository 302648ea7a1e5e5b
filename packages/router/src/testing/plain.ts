/**
 * Progressive expert choice on plain arrays, for one sequence: the algorithm as the paper's section 3.2 words it, to hold
 * routers against. Sorts, where the kernels search.
 *
 * @param scores one row of E scores for each token
 * @param ratios E capacity ratios, of sum 1
 * @param real whether each token is real; all when left out
 * @returns each token's expert, −1 for padding
 */
export function plainExpertChoice(
  scores: readonly (readonly number[])[],
  ratios: readonly number[],
  real?: readonly boolean[],
): number[] {
  const assignment = scores.map(() => -1);
  let left = scores.map((_, token) => token).filter((token) => real?.[token] ?? true);
  const tokens = left.length;
  ratios.forEach((ratio, expert) => {
    const last = expert === ratios.length - 1;
    const capacity = last ? left.length : Math.ceil(ratio * tokens - 1e-9);
    // Sorting is stable: of equal scores the earlier token comes first.
    const ranked = [...left].sort((a, b) => scores[b]![expert]! - scores[a]![expert]!);
    const taken = new Set(ranked.slice(0, Math.max(0, capacity)));
    for (const token of taken) assignment[token] = expert;
    left = left.filter((token) => !taken.has(token));
  });
  return assignment;
}

/** Places on an axis that differ by less than this share count as one. */
const SAME = 0.02;

/** Indices of places that are about the same, lowest first. */
export function clusters(places: readonly number[]): number[][] {
  const result: number[][] = [];
  for (const i of [...places.keys()].sort((a, b) => places[a]! - places[b]!)) {
    const last = result.at(-1);
    if (last && places[i]! < (1 + SAME) * places[last[0]!]!) last.push(i);
    else result.push([i]);
  }
  return result;
}

/** Shifts that set marks of about the same place side by side, lowest rank first, around their true place. */
export function sideBySide(places: readonly number[], ranks: readonly number[], apart: number): number[] {
  const shifts = new Array<number>(places.length).fill(0);
  for (const cluster of clusters(places)) {
    const ordered = cluster.toSorted((a, b) => ranks[a]! - ranks[b]!);
    ordered.forEach((i, order) => (shifts[i] = (order - (ordered.length - 1) / 2) * apart));
  }
  return shifts;
}

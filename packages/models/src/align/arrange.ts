// Which heads go together.

/** Heads up to which every order is tried: 8! are 40,320. */
const EXHAUSTIVE = 8;

/**
 * The order of K heads in which those of a group are most alike: maximises Σ_{p<q} weights[p][q]·likeness[order[p]][order[q]] over
 * positions. The best there is up to 8 heads; beyond, the best of K greedy starts, each improved by swaps of two until none helps.
 *
 * @param likeness symmetric [K][K]
 * @param weights symmetric [K][K], by position
 * @returns the head of each position; of equally good orders the one found first, where nothing is gained 0, 1, 2, ...
 */
export function bestOrder(likeness: readonly (readonly number[])[], weights: readonly (readonly number[])[]): number[] {
  const count = likeness.length;
  /** What a head at a position adds to those before it. */
  const added = (order: readonly number[], position: number, head: number): number => {
    let sum = 0;
    for (let other = 0; other < position; other++) sum += weights[position]![other]! * likeness[head]![order[other]!]!;
    return sum;
  };
  let best: number[] = Array.from({ length: count }, (_, i) => i);
  let bestValue = best.reduce((sum, head, position) => sum + added(best, position, head), 0);
  const consider = (order: readonly number[], value: number): void => {
    if (value <= bestValue + 1e-12 * Math.abs(bestValue)) return;
    best = [...order];
    bestValue = value;
  };
  if (count <= EXHAUSTIVE) {
    const order: number[] = [];
    const visit = (value: number): void => {
      if (order.length === count) consider(order, value);
      for (let head = 0; head < count; head++) {
        if (order.includes(head)) continue;
        const more = added(order, order.length, head);
        order.push(head);
        visit(value + more);
        order.pop();
      }
    };
    visit(0);
    return best;
  }
  for (let first = 0; first < count; first++) {
    const order = greedyOrder(count, first, added);
    while (swapOnce(order, likeness, weights));
    consider(order, order.reduce((sum, head, position) => sum + added(order, position, head), 0));
  }
  return best;
}

type Added = (order: readonly number[], position: number, head: number) => number;

/** Each position takes the head that adds most. */
function greedyOrder(count: number, first: number, added: Added): number[] {
  const order = [first];
  const left = Array.from({ length: count }, (_, i) => i).filter((head) => head !== first);
  while (left.length > 0) {
    const gains = left.map((head) => added(order, order.length, head));
    order.push(...left.splice(gains.indexOf(Math.max(...gains)), 1));
  }
  return order;
}

/** Swaps the first two heads found whose swap helps. @returns whether there were any */
function swapOnce(order: number[], likeness: readonly (readonly number[])[], weights: readonly (readonly number[])[]): boolean {
  const count = order.length;
  for (let p = 0; p < count; p++) {
    for (let q = p + 1; q < count; q++) {
      let [gain, size] = [0, 0];
      for (let other = 0; other < count; other++) {
        if (other === p || other === q) continue;
        const difference = likeness[order[q]!]![order[other]!]! - likeness[order[p]!]![order[other]!]!;
        gain += (weights[p]![other]! - weights[q]![other]!) * difference;
        size += Math.abs(difference);
      }
      if (gain <= 1e-12 * size) continue;
      [order[p], order[q]] = [order[q]!, order[p]!];
      return true;
    }
  }
  return false;
}

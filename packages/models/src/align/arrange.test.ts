import { SeededRandom } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { bestOrder } from './arrange';

/** Likeness of pairs of heads: symmetric [K][K]. */
function drawn(count: number, likeness: (a: number, b: number) => number): number[][] {
  const result = Array.from({ length: count }, () => new Array<number>(count).fill(1));
  for (let a = 0; a < count; a++) for (let b = 0; b < a; b++) result[a]![b] = result[b]![a] = likeness(a, b);
  return result;
}

/** Groups of each size weigh as much. */
const nested = (count: number, sizes: readonly number[]): number[][] =>
  drawn(count, (p, q) => sizes.filter((size) => Math.floor(p / size) === Math.floor(q / size)).length);

const value = (order: readonly number[], likeness: number[][], weights: number[][]): number =>
  order.reduce((sum, a, p) => order.slice(0, p).reduce((inner, b, q) => inner + weights[p]![q]! * likeness[a]![b]!, sum), 0);

const groups = (order: readonly number[], size: number): string[] =>
  Array.from({ length: order.length / size }, (_, i) => order.slice(i * size, (i + 1) * size).sort((a, b) => a - b).join()).sort();

describe('bestOrder', () => {
  it('finds the best of all pairings of 6 heads', () => {
    const random = new SeededRandom(1);
    const weights = nested(6, [2]);
    for (let trial = 0; trial < 5; trial++) {
      const likeness = drawn(6, () => random.next());
      const pairings = [1, 2, 3, 4, 5].flatMap((b) => {
        const [c, ...rest] = [1, 2, 3, 4, 5].filter((head) => head !== b) as [number, number, number, number];
        return rest.map((d) => [0, b, c, d, ...rest.filter((head) => head !== d)]);
      });
      expect(pairings).toHaveLength(15);
      const best = Math.max(...pairings.map((order) => value(order, likeness, weights)));
      expect(value(bestOrder(likeness, weights), likeness, weights)).toBeCloseTo(best, 12);
    }
  });

  it.each([8, 12, 16, 32])('brings together what belongs together among %d heads, fours and the pairs in them', (count) => {
    const random = new SeededRandom(count);
    const shuffled = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = random.nextInt(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
    }
    const place = (head: number) => shuffled.indexOf(head);
    const same = (a: number, b: number, size: number) => Number(Math.floor(place(a) / size) === Math.floor(place(b) / size));
    const likeness = drawn(count, (a, b) => 0.3 * same(a, b, 4) + 0.3 * same(a, b, 2) + 0.4 * random.next());
    const order = bestOrder(likeness, nested(count, [4, 2]));
    expect(groups(order, 4)).toEqual(groups(shuffled, 4));
    expect(groups(order, 2)).toEqual(groups(shuffled, 2));
  });

  it('leaves heads as they are where no order is better', () => {
    for (const count of [1, 4, 12]) {
      const order = Array.from({ length: count }, (_, i) => i);
      expect(bestOrder(drawn(count, () => 1), nested(count, [count]))).toEqual(order);
      expect(bestOrder(drawn(count, (a, b) => a * b), nested(count, []))).toEqual(order);
    }
  });
});

import { expect, test } from 'vitest';
import { ArgumentError } from './errors';
import { SeededRandom } from './random';

const draw = (random: SeededRandom, count = 5) => Array.from({ length: count }, () => random.next());

test('the same seed and stream give the same numbers on every machine', () => {
  expect(draw(new SeededRandom(1), 3).map((x) => x * 2 ** 32)).toMatchInlineSnapshot(`
    [
      2708994730,
      3341760705,
      31570429,
    ]
  `);
  expect(draw(new SeededRandom(7, 1, 2))).toEqual(draw(new SeededRandom(7, 1, 2)));
});

test('other seeds and streams give other numbers', () => {
  const streams = [[0], [1], [-1], [2 ** 32], [0, 0], [0, 1], [1, 0], [0, 0, 0]] as [number, ...number[]][];
  expect(new Set(streams.map((stream) => draw(new SeededRandom(...stream)).join())).size).toBe(streams.length);
});

test('uniform, integer and normal draws have their moments', () => {
  const random = new SeededRandom(3);
  const n = 100_000;
  let [sum, normalSum, normalSquares] = [0, 0, 0];
  const counts = new Array<number>(6).fill(0);
  for (let i = 0; i < n; i++) {
    const u = random.next();
    expect(u >= 0 && u < 1).toBe(true);
    sum += u;
    const z = random.normal();
    normalSum += z;
    normalSquares += z * z;
    counts[random.nextInt(6)]! += 1;
  }
  expect(sum / n).toBeCloseTo(0.5, 2);
  expect(normalSum / n).toBeCloseTo(0, 1.5);
  expect(normalSquares / n).toBeCloseTo(1, 1.5);
  for (const count of counts) expect(Math.abs(count - n / 6)).toBeLessThan(5 * Math.sqrt(n / 6));
});

test('a state saved through JSON goes on with the same numbers', () => {
  const random = new SeededRandom(5);
  random.normal(); // leaves the second normal of its pair behind
  const copy = SeededRandom.fromState(JSON.parse(JSON.stringify(random.state())) as number[]);
  expect([copy.normal(), copy.nextInt(100), copy.next()]).toEqual([random.normal(), random.nextInt(100), random.next()]);
});

test.each([1.5, NaN, Infinity, 2 ** 60])('seed %d is refused', (seed) => {
  expect(() => new SeededRandom(seed)).toThrow(ArgumentError);
  expect(() => new SeededRandom(1, seed)).toThrow(ArgumentError);
});

test.each([[[]], [[0, 0, 0, 0]], [[1, 2, 3]], [[1, 2, 3, 2 ** 32]], [[1, 2, 3, 4, NaN]], [[1, 2, 3, -4]]])('state %j is refused', (state) => {
  expect(() => SeededRandom.fromState(state)).toThrow(/^SeededRandom\.fromState: expected the result of state\(\), got \[/);
});

test.each([0, -1, 1.5, 2 ** 32 + 1])('nextInt(%d) is refused', (n) => {
  expect(() => new SeededRandom(1).nextInt(n)).toThrow(ArgumentError);
});

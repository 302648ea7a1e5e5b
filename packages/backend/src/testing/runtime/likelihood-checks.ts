import type { Rows } from '../../inference/runtime';
import type { RuntimeCheck } from './check';
import { check } from './check';
import { plainLikelihood } from './plain';
import type { Setting } from './setting';
import { equal, same } from './setting';

/** What an nll may differ by, of itself. */
const TOLERANCE = 1e-5;

export const likelihoodChecks: readonly RuntimeCheck[] = [
  check('likelihood is −log softmax of the target, and tells the arg max, the first of equals', async (s) => {
    for (const width of s.some([700, 1, 3, 5, 256, 5000, 50_272], 4)) {
      const rows = 4;
      const logits = s.normals((rows + 1) * width, 3);
      const targets = Int32Array.from({ length: rows }, () => s.random.nextInt(width));
      const largest = Int32Array.from({ length: rows }, (_, row) => {
        const [a, b] = [s.random.nextInt(width), s.random.nextInt(width)];
        logits[row * width + a] = logits[row * width + b] = 20;
        return Math.max(a, b);
      });
      const x = s.filled(logits, width);
      for (const some of [targets, largest, largest.map((_, row) => logits.subarray(row * width).indexOf(20))]) {
        await expectLikelihood(s, `of ${width}`, logits, x, some);
      }
      same('logits afterwards', await s.values(x), logits);
    }
  }),

  check('likelihood of a vocabulary of 256,000 loses nothing to its sum, of large and of equal logits', async (s) => {
    const width = 256_000;
    const flat = new Float32Array(width).fill(-7);
    await expectLikelihood(s, 'of equal logits', flat, s.filled(flat, width), Int32Array.of(0));
    // Small terms beside a large one, and far from 0.
    const spread = s.normals(width, 0.5).map((x) => x + 1000);
    spread[17] = 1004;
    await expectLikelihood(s, 'of logits around 1000', spread, s.filled(spread, width), Int32Array.of(17));
  }),

  check('likelihood after a soft cap has its sum from −cap to cap', async (s) => {
    const [width, cap] = [301, 3];
    const logits = s.normals(2 * width, 40);
    const x = s.filled(logits, width);
    s.runtime.softCap(x, cap, 2);
    const capped = Float64Array.from(logits, (logit) => cap * Math.tanh(logit / cap));
    await expectLikelihood(s, 'of capped logits', capped, x, Int32Array.of(5, 300), { greedy: false });
  }),

  check('likelihood takes −∞ for a probability of 0, and has NaN where there is no distribution', async (s) => {
    const width = 9;
    const logits = s.normals(6 * width);
    logits.fill(-Infinity, 3, 6); // not the target
    logits[width + 8] = -Infinity; // the target
    logits.fill(-Infinity, 2 * width, 3 * width - 1); // all but the target
    logits.fill(-Infinity, 3 * width, 4 * width);
    logits[4 * width + 1] = Infinity;
    logits[5 * width + 7] = NaN;
    const x = s.filled(logits, width);
    const { nll } = await s.runtime.likelihood(x, new Int32Array(6).fill(8));
    close('with −∞ beside', nll[0]!, plainLikelihood(logits.subarray(0, width), 8).nll);
    same('of −∞, of the only one, and of none', nll.slice(1), [Infinity, 0, NaN, NaN, NaN]);
  }),
];

/** Fails unless all is as in double precision; `greedy`: whether arg max too, which rounding may change. */
async function expectLikelihood(
  s: Setting, what: string, logits: ArrayLike<number>, x: Rows, targets: Int32Array, { greedy = true } = {},
): Promise<void> {
  const actual = await s.runtime.likelihood(x, targets);
  equal(`rows ${what}`, actual.nll.length, targets.length);
  equal(`flags ${what}`, actual.greedy.length, targets.length);
  targets.forEach((target, row) => {
    const expected = plainLikelihood(Array.from({ length: x.width }, (_, i) => logits[row * x.width + i]!), target);
    close(`${what}, row ${row}`, actual.nll[row]!, expected.nll);
    if (greedy) equal(`whether token ${target} is the arg max ${what}, row ${row}`, actual.greedy[row] === 1, expected.greedy);
  });
}

function close(what: string, actual: number, expected: number): void {
  const isClose = Math.abs(actual - expected) <= TOLERANCE * Math.max(1, expected);
  if (!isClose) equal(`the nll ${what}`, actual, expected);
}

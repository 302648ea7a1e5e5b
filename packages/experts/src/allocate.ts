import { ArgumentError, expectOptions } from '@mixsga/backend';
import { kvShare } from './budget';
import { normaliseRatios } from './ratios';

/** Steps between the smallest and the largest budget of a ladder that a layer can take. */
const STEPS = 384;

/** Ratios that a layer could have, and what was measured of it with them. */
export interface Rung {
  /** Capacity ratios, normalised or not. */
  readonly ratios: readonly number[];
  /** What is lost, in any unit that adds up over layers: nats a token more than of the unmodified model. */
  readonly loss: number;
}

export interface Allocation {
  /** Capacity ratios of each layer, sum 1. */
  readonly ratios: readonly (readonly number[])[];
  /** Share of the unmodified KV cache that each layer keeps; their mean is the budget. */
  readonly budgets: readonly number[];
  /** Σ over layers of the loss, between two rungs interpolated. */
  readonly loss: number;
  /** The same where every layer has the budget. */
  readonly uniformLoss: number;
}

/**
 * Ratios from the coarsest expert alone through the given ones to the finest expert alone, at equal distances in budget on either
 * side: what {@link allocateRatios} may choose from.
 *
 * @param steps rungs below and above the given ratios, each
 * @throws ArgumentError as {@link kvShare}, or when `steps` is not a whole number from 1
 */
export function ratioLadder(ratios: readonly number[], groupSizes: readonly number[], steps: number): number[][] {
  kvShare(ratios, groupSizes);
  if (!Number.isInteger(steps) || steps < 1) throw new ArgumentError(`ratioLadder: expected a whole number of steps from 1, got ${steps}`);
  const middle = normaliseRatios(ratios);
  const [coarsest, finest] = [middle.map((_, e) => Number(e === middle.length - 1)), middle.map((_, e) => Number(e === 0))];
  const between = (from: number[], to: number[]) => Array.from({ length: steps }, (_, i) => mixed(from, to, i / steps));
  const all = [...between(coarsest, middle), ...between(middle, finest), finest];
  // The given ratios may be an end of the ladder themselves.
  return all.filter((rung, i) => i === 0 || kvShare(rung, groupSizes) > kvShare(all[i - 1]!, groupSizes) + 1e-9);
}

/**
 * Distributes a KV budget over layers so that the sum of their losses is smallest. Layers are taken to lose independently of each
 * other, and between two rungs ratios, bytes and loss are interpolated together. The search is exact on budgets of 384 steps from
 * the coarsest rung to the finest, of which all are spent: dynamic programming over layers, as in the multiple-choice knapsack problem
 * (Kellerer, Pferschy and Pisinger 2004, chapter 11). Uniform budgets are returned where they are as good.
 *
 * @param layers of each layer its rungs, the smallest budget first; all layers have the same first and last budget
 * @param budget share of the unmodified KV cache, the mean over layers
 * @throws ArgumentError when there is no layer, a layer's rungs are fewer than two or not in order, ladders end elsewhere than the first,
 *   a loss is not finite, or the budget is beyond the ladder; as {@link kvShare}
 */
export function allocateRatios(
  layers: readonly (readonly Rung[])[], options: { budget: number; groupSizes: readonly number[] },
): Allocation {
  expectOptions('allocateRatios', options, { budget: true, groupSizes: true });
  const { budget, groupSizes } = options;
  const curves = layers.map((rungs, layer) => curveOf(rungs, groupSizes, layer));
  const { from, to } = expectSameEnds(curves);
  if (!(budget >= from - 1e-9 && budget <= to + 1e-9)) {
    throw new ArgumentError(`allocateRatios: expected a budget from ${plain(from)} to ${plain(to)}, which the ladder reaches, got ${budget}`);
  }
  const step = (to - from) / STEPS;
  const all = (layers.length * (budget - from)) / step;
  const total = Math.floor(all + 1e-9);
  const lossAt = curves.map((curve) => Float64Array.from({ length: STEPS + 1 }, (_, units) => curve.at(from + units * step).loss));
  const searched = searchUnits(lossAt, total).map((units) => from + units * step);
  // What is left, less than a step, goes where it helps most.
  const left = Math.max(0, all - total) * step;
  const gains = searched.map((own, layer) => (own + left > to + 1e-9 ? -Infinity : curves[layer]!.at(own).loss - curves[layer]!.at(own + left).loss));
  searched[gains.indexOf(Math.max(...gains))]! += left;
  const lossOf = (budgets: readonly number[]) => budgets.reduce((sum, own, layer) => sum + curves[layer]!.at(own).loss, 0);
  const uniform = layers.map(() => budget);
  const uniformLoss = lossOf(uniform);
  const budgets = lossOf(searched) < uniformLoss - 1e-9 * Math.abs(uniformLoss) ? searched : uniform;
  return { ratios: budgets.map((own, layer) => curves[layer]!.at(own).ratios), budgets, loss: lossOf(budgets), uniformLoss };
}

/**
 * Units of each layer that sum to `total` with the least loss.
 * @param lossAt by layer the loss at 0, 1, … units
 */
function searchUnits(lossAt: readonly Float64Array[], total: number): number[] {
  // least[u]: of the layers so far with u units; taken[layer][u]: how many of them the last one has.
  let least = Float64Array.of(0, ...new Array<number>(total).fill(Infinity));
  const taken = lossAt.map((own) => {
    const next = new Float64Array(total + 1).fill(Infinity);
    const units = new Int32Array(total + 1);
    for (let before = 0; before <= total; before++) {
      if (least[before] === Infinity) continue;
      for (let u = 0; u < own.length && before + u <= total; u++) {
        const loss = least[before]! + own[u]!;
        if (loss >= next[before + u]!) continue;
        next[before + u] = loss;
        units[before + u] = u;
      }
    }
    least = next;
    return units;
  });
  let left = total;
  return taken.toReversed().map((units) => {
    const own = units[left]!;
    left -= own;
    return own;
  }).toReversed();
}

interface Curve {
  readonly from: number;
  readonly to: number;
  at(budget: number): { ratios: number[]; loss: number };
}

function curveOf(rungs: readonly Rung[], groupSizes: readonly number[], layer: number): Curve {
  const who = `allocateRatios: layer ${layer}`;
  const points = rungs.map(({ ratios, loss }) => ({ ratios: normaliseRatios(ratios), loss, budget: kvShare(ratios, groupSizes) }));
  if (points.length < 2 || points.some(({ budget }, i) => i > 0 && !(budget > points[i - 1]!.budget))) {
    const got = points.map(({ budget }) => plain(budget)).join(', ') || 'none';
    throw new ArgumentError(`${who}: expected two rungs or more, each with a larger budget than the one before, got ${got}`);
  }
  const wrong = points.find(({ loss }) => !Number.isFinite(loss));
  if (wrong) throw new ArgumentError(`${who}: expected finite losses, got ${wrong.loss} at ${wrong.ratios.join(':')}`);
  return {
    from: points[0]!.budget,
    to: points.at(-1)!.budget,
    at(budget) {
      const upper = points.findIndex((point, i) => i > 0 && budget <= point.budget);
      const [a, b] = upper < 0 ? points.slice(-2) : points.slice(upper - 1, upper + 1);
      const t = Math.min(1, Math.max(0, (budget - a!.budget) / (b!.budget - a!.budget)));
      return { ratios: mixed(a!.ratios, b!.ratios, t), loss: a!.loss + t * (b!.loss - a!.loss) };
    },
  };
}

function expectSameEnds(curves: readonly Curve[]): { from: number; to: number } {
  const first = curves[0];
  if (!first) throw new ArgumentError('allocateRatios: expected the rungs of a layer or more, got none');
  const { from, to } = first;
  const other = curves.findIndex((curve) => Math.abs(curve.from - from) > 1e-9 || Math.abs(curve.to - to) > 1e-9);
  if (other < 0) return { from, to };
  const got = `${plain(curves[other]!.from)} to ${plain(curves[other]!.to)}`;
  throw new ArgumentError(`allocateRatios: expected every ladder to go from ${plain(from)} to ${plain(to)}, as that of layer 0, got ${got} of layer ${other}`);
}

/** (1 − t)·a + t·b */
function mixed(a: readonly number[], b: readonly number[], t: number): number[] {
  return a.map((value, i) => value + t * (b[i]! - value));
}

function plain(value: number): number {
  return Number(value.toFixed(6));
}

import { ArgumentError } from '@mixsga/backend';

/** Bias of an expert of ratio 0: nothing outweighs it. */
export const NEVER = -1e4;

/** @throws ArgumentError when a rate of balancing is out of range */
export function expectRate(rate: number): void {
  if (!(rate > 0 && rate <= 1)) throw new ArgumentError(`balance: expected a rate above 0, up to 1, got ${rate}`);
}

/** Sweeps over the experts after which a shift is taken as it is; three experts need about five. */
const SWEEPS = 30;
/** Logits. A sweep that moves no two experts further apart ends the search. */
const TOLERANCE = 1e-4;

/**
 * What to add to the experts' logits so that the arg max gives each expert its share of some tokens, the highest logit then being 0:
 * a common shift changes no arg max, and this one keeps a sigmoid of the logits from saturating. Solved expert by expert: with the
 * others held, a share is a quantile of the distances to the best other expert. That is coordinate ascent on a concave function, the
 * dual of the optimal assignment of tokens to experts.
 *
 * @param logits [tokens, E], row-major; an expert of ratio 0 is left out, its shift is 0
 * @param ratios E shares, of sum 1
 * @returns E numbers
 * @throws ArgumentError when the logits are none, not a multiple of E, or not finite
 */
export function balancingShift(logits: Float32Array, ratios: readonly number[]): number[] {
  const experts = ratios.length;
  const tokens = logits.length / experts;
  if (!Number.isInteger(tokens) || tokens === 0 || !logits.every(Number.isFinite)) {
    throw new ArgumentError(`balance: expected finite scores of ${experts} experts for each token, got ${logits.length} numbers`);
  }
  const active = ratios.flatMap((ratio, expert) => (ratio > 0 ? [expert] : []));
  const shift = new Array<number>(experts).fill(0);
  const highest = (token: number, except?: number) =>
    active.reduce((most, e) => (e === except ? most : Math.max(most, logits[token * experts + e]! + shift[e]!)), -Infinity);
  const distances = new Float64Array(tokens);
  let moved = Infinity;
  for (let sweep = 0; active.length > 1 && sweep < SWEEPS && moved > TOLERANCE; sweep++) {
    const moves = active.map((expert) => {
      for (let t = 0; t < tokens; t++) distances[t] = highest(t, expert) - logits[t * experts + expert]!;
      const next = quantile(distances.sort(), ratios[expert]!);
      const move = next - shift[expert]!;
      shift[expert] = next;
      return move;
    });
    moved = Math.max(...moves) - Math.min(...moves);
  }
  let top = -Infinity;
  for (let t = 0; t < tokens; t++) top = Math.max(top, highest(t));
  for (const expert of active) shift[expert]! -= top;
  return shift;
}

/** A value that a share of the sorted values lies below, linear between its neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const place = Math.min(Math.max(share * sorted.length - 0.5, 0), sorted.length - 1);
  const below = Math.floor(place);
  const [a, b] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
  return a + (place - below) * (b - a);
}

// Turning heads so that those of a group agree: generalised Procrustes analysis (Gower 1975) of several sets of heads at once.
import { addProduct, identity, innerProduct, type Matrix } from './matrix';
import type { TurnGroup } from './turn';

/** Rounds over all heads, at most; a few are enough. */
const MAX_ROUNDS = 20;
/** Gain of a round, relative to all gained, below which there is no other. */
const ENOUGH = 1e-3;

/** xᵀy of heads x and y, by their positions: float64 [d, d]. */
export type Grams = readonly (readonly Matrix[])[];

/**
 * Turns R by position that maximise Σ_{p<q} weights[p][q]·tr(R_pᵀ·grams[p][q]·R_q): each in turn takes what is best while the others
 * stay, so that the sum never falls.
 *
 * @param grams grams[q][p] is the transpose of grams[p][q]
 * @param weights symmetric [K][K]
 * @returns orthogonal [d, d] for each position, x to xR
 */
export function agreeingTurns(grams: Grams, weights: readonly (readonly number[])[], group: TurnGroup, d: number): Matrix[] {
  const turns: Matrix[] = [];
  let previous = 0;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let sum = 0;
    for (let p = 0; p < grams.length; p++) {
      // In the first round each agrees with those before it.
      const others = [...turns.keys()].filter((q) => q !== p && weights[p]![q]! > 0);
      const pull = new Float64Array(d * d);
      for (const q of others) addProduct(pull, grams[p]![q]!, turns[q]!, d, weights[p]![q]!);
      const turn = others.length > 0 ? group.nearest(pull, d) : identity(d);
      turns[p] = turn;
      sum += innerProduct(turn, pull);
    }
    if (sum - previous <= ENOUGH * sum) break;
    previous = sum;
  }
  return turns;
}

import { median, quantile } from '@mixsga/evaluators';

import type { Contender, Slice } from './contender';

/** A number over the rounds of a benchmark. */
export interface Measured {
  median: number;
  min: number;
  max: number;
}

export interface RoundsOptions {
  rounds: number;
  secondsPerSlice: number;
  /** Called before the turns of each round. */
  onRound?: () => void;
  /** Takes what is going on, for people. */
  onSlice?: (text: string) => void;
}

/**
 * Gives contenders their turns, round after round, so that a machine that slows down slows all of them; every second
 * round runs backwards. One slice of each before the first round is not counted.
 *
 * @returns slices by contender, in round order
 */
export async function runRounds(
  contenders: readonly Contender[],
  { rounds, secondsPerSlice, onRound, onSlice }: RoundsOptions,
): Promise<Slice[][]> {
  const slices = contenders.map((): Slice[] => []);
  for (const contender of contenders) {
    onSlice?.(`warming up ${contender.label}`);
    await contender.run(0);
  }
  for (let round = 0; round < rounds; round++) {
    const order = [...contenders.keys()];
    if (round % 2 === 1) order.reverse();
    onRound?.();
    for (const i of order) {
      onSlice?.(`round ${round + 1} of ${rounds}: ${contenders[i]!.label}`);
      slices[i]!.push(await contenders[i]!.run(secondsPerSlice));
    }
  }
  return slices;
}

export function measured(values: readonly number[]): Measured {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Steps of a slice in a second. */
export function speed({ steps, seconds }: Slice): number {
  return steps / seconds;
}

export function stepsOf(slices: readonly Slice[]): number {
  return slices.reduce((sum, { steps }) => sum + steps, 0);
}

/** Median over rounds of `a`'s speed over `b`'s in the same round, from which the machine's drift cancels out. */
export function ratioOf(a: readonly Slice[], b: readonly Slice[]): number {
  return median(ratiosOf(a, b));
}

/**
 * Standard error of {@link ratioOf}: 1.2533·σ/√n, as of the median of n normal numbers, with σ the interquartile range / 1.349,
 * which single outliers do not move.
 */
export function ratioErrorOf(a: readonly Slice[], b: readonly Slice[]): number {
  const ratios = ratiosOf(a, b);
  const deviation = (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / 1.349;
  return (1.2533 * deviation) / Math.sqrt(ratios.length);
}

function ratiosOf(a: readonly Slice[], b: readonly Slice[]): number[] {
  return a.map((slice, round) => speed(slice) / speed(b[round]!));
}

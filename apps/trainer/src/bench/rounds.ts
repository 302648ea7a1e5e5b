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
  return median(a.map((slice, round) => speed(slice) / speed(b[round]!)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

import type { Contender, Slice } from './contender';

/** A number over the rounds of a benchmark. */
export interface Measured {
  median: number;
  min: number;
  max: number;
}

/**
 * Lets contenders train in turn, round after round, so that a machine that slows down slows all of them; every
 * second round runs backwards. One slice of each before the first round is not counted.
 *
 * @returns slices by contender, in round order
 */
export async function runRounds(
  contenders: readonly Contender[],
  { rounds, secondsPerSlice, onSlice }: { rounds: number; secondsPerSlice: number; onSlice?: (text: string) => void },
): Promise<Slice[][]> {
  const slices = contenders.map((): Slice[] => []);
  for (const contender of contenders) {
    onSlice?.(`warming up ${contender.backend} ${contender.attention}`);
    await contender.run(0);
  }
  for (let round = 0; round < rounds; round++) {
    const order = [...contenders.keys()];
    if (round % 2 === 1) order.reverse();
    for (const i of order) {
      const { backend, attention } = contenders[i]!;
      onSlice?.(`round ${round + 1} of ${rounds}: ${backend} ${attention}`);
      slices[i]!.push(await contenders[i]!.run(secondsPerSlice));
    }
  }
  return slices;
}

export function measured(values: readonly number[]): Measured {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Median over rounds of `a`'s speed over `b`'s in the same round, from which the machine's drift cancels out. */
export function ratioOf(a: readonly Slice[], b: readonly Slice[]): number {
  return median(a.map((slice, round) => slice.steps / slice.seconds / (b[round]!.steps / b[round]!.seconds)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

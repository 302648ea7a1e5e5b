/** 2, 4, 8, … as long as they divide. */
export function halvings(divisible: number): number[] {
  const factors: number[] = [];
  for (let factor = 2; divisible % factor === 0; factor *= 2) factors.push(factor);
  return factors;
}

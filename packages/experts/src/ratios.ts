import { ArgumentError, expertCapacity } from '@mixsga/backend';

/**
 * Checks capacity ratios, normalised or not (3:1:6 and 0.3:0.1:0.6 mean the same).
 *
 * @param ratios one for each expert, the most expensive expert first
 * @param experts their expected number; any number from 1 when left out
 * @throws ArgumentError when the number is wrong, one is negative or not finite, or all are zero
 */
export function validateRatios(ratios: readonly number[], experts?: number): void {
  const got = `got ${ratios.length === 0 ? 'none' : ratios.join(':')}`;
  if (ratios.length === 0 || (experts !== undefined && ratios.length !== experts)) {
    const wanted = experts === undefined ? 'at least one ratio' : `${experts} ratio${experts === 1 ? '' : 's'}`;
    throw new ArgumentError(`ratios: expected ${wanted}, ${got}; give one ratio for each expert`);
  }
  if (ratios.some((ratio) => !Number.isFinite(ratio) || ratio < 0)) {
    throw new ArgumentError(`ratios: expected numbers of 0 or more, ${got}; write them like 3:1:6`);
  }
  if (ratios.every((ratio) => ratio === 0)) {
    throw new ArgumentError(`ratios: expected at least one above 0, ${got}; some expert has to take the tokens`);
  }
}

/**
 * The ratios scaled to sum 1: 3:1:6 gives 0.3, 0.1, 0.6.
 * @throws ArgumentError as {@link validateRatios}
 */
export function normaliseRatios(ratios: readonly number[]): number[] {
  validateRatios(ratios);
  const sum = ratios.reduce((a, b) => a + b, 0);
  return ratios.map((ratio) => ratio / sum);
}

/**
 * How many of `tokens` tokens each expert takes in prefill and training (paper section 3.2): min(⌈ρ_e·tokens⌉,
 * tokens left), the last expert all that remain. The numbers sum to `tokens`.
 *
 * @param ratios normalised or not
 * @throws ArgumentError as {@link validateRatios}, or when `tokens` is not a whole number of 0 or more
 */
export function capacities(ratios: readonly number[], tokens: number): number[] {
  if (!Number.isInteger(tokens) || tokens < 0) {
    throw new ArgumentError(`capacities: expected a whole number of tokens, got ${tokens}`);
  }
  let left = tokens;
  return normaliseRatios(ratios).map((ratio, expert) => {
    const taken = expert === ratios.length - 1 ? left : Math.max(0, Math.min(expertCapacity(ratio, tokens), left));
    left -= taken;
    return taken;
  });
}

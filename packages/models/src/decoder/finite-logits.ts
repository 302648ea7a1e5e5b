// Logits that are no distribution, and where they began.
import { BackendError, type VectorRuntime, namingMemory, type Rows } from '@mixsga/backend';
import { allFinite } from '../io/finite-source';
import type { StepOutput } from '../generation/decoder';

/** What looks at the activations of a pass: after the embedding, layer −1, and after each layer. */
export type Inspect = (layer: number, x: Rows) => Promise<void>;

interface Explanation {
  readonly runtime: VectorRuntime;
  readonly rows: number;
  readonly nameOf: (row: number) => string;
  readonly size: () => string;
}

class NoDistribution extends Error {}

/** @throws what {@link explained} explains, when a row of logits has NaN or +∞, or −∞ alone */
export function expectDistributions({ argMax, logits: values }: StepOutput, vocabulary: number): void {
  if (argMax?.includes(-1) || (values && !areDistributions(values, vocabulary))) throw new NoDistribution();
}

/** The same for the likelihoods of targets, of which negative ones are not asked for. */
export function expectLikelihoods(nll: Float32Array, targets: Int32Array): void {
  if (nll.some((value, i) => Number.isNaN(value) && targets[i]! >= 0)) throw new NoDistribution();
}

const LESS = 'take less text or fewer sequences at a time, a KV budget (--kv-budget), or smaller types (--kv int8, --weights int8)';

/**
 * Runs a pass, and when its logits are no distribution once more, to name the layer and the token.
 * @param nameOf the token of a row, for people
 * @param size what it takes, for people
 * @throws BackendError when they are none; OutOfMemoryError naming the size
 */
export async function explained<T>(
  who: string, { runtime, rows, nameOf, size }: Explanation, pass: (inspect?: Inspect) => Promise<T>,
): Promise<T> {
  try {
    return await namingMemory(() => `${who}: ${size()}`, LESS, () => pass());
  } catch (error) {
    if (!(error instanceof NoDistribution)) throw error;
  }
  let where = 'in the output head';
  try {
    return await pass(async (layer, x) => {
      const { values } = await runtime.read(x, rows, 'values');
      const bad = Array.from({ length: rows }, (_, row) => row).find((row) => !allFinite(values!.subarray(row * x.width, (row + 1) * x.width)));
      if (bad === undefined) return;
      where = `${layer < 0 ? 'in the embedding' : `in layer ${layer}`} at ${nameOf(bad)}`;
      throw new NoDistribution();
    });
  } catch (error) {
    if (!(error instanceof NoDistribution)) throw error;
    throw new BackendError(`${who}: expected finite logits, got NaN or infinite ones, which begin ${where}; check whether the weights and config.json are damaged`);
  }
}

function areDistributions(logits: Float32Array, width: number): boolean {
  if (allFinite(logits)) return true;
  for (let first = 0; first < logits.length; first += width) {
    const row = logits.subarray(first, first + width);
    // −∞ marks a token that must not come.
    if (row.some((logit) => Number.isNaN(logit) || logit === Infinity) || row.every((logit) => logit === -Infinity)) return false;
  }
  return true;
}

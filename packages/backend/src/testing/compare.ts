import type { Tensor } from '@tensorflow/tfjs-core';

/** The contents of a tensor on the host. */
export interface Values {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: Float32Array | Int32Array | Uint8Array;
}

/** Reads a tensor back, without disposing it. */
export async function read(tensor: Tensor): Promise<Values> {
  return { shape: tensor.shape, dtype: tensor.dtype, data: (await tensor.data()).slice() };
}

export interface Comparison {
  /** Σ(a−e)² / Σe² over the finite elements; 0 when both sums are 0, Infinity when only the second is. */
  readonly nmse: number;
  /** What no tolerance excuses: another shape or dtype, a NaN or an infinity out of place, another integer. */
  readonly problem: string | null;
}

/**
 * Compares the result of a backend with the expected one by the normalised mean squared error. Unlike an absolute
 * tolerance it sees errors in small numbers; NaN and ±Infinity have to be in the same places; integers and
 * booleans have to be equal.
 */
export function compareValues(actual: Values, expected: Values): Comparison {
  const problem = findProblem(actual, expected);
  if (problem !== null) return { nmse: Infinity, problem };
  let error = 0;
  let power = 0;
  expected.data.forEach((e, i) => {
    if (!Number.isFinite(e)) return;
    error += (actual.data[i]! - e) ** 2;
    power += e ** 2;
  });
  return { nmse: error === 0 ? 0 : error / power, problem: null };
}

function findProblem(actual: Values, expected: Values): string | null {
  if (actual.shape.join() !== expected.shape.join()) {
    return `shape [${actual.shape.join(', ')}], expected [${expected.shape.join(', ')}]`;
  }
  if (actual.dtype !== expected.dtype) return `dtype ${actual.dtype}, expected ${expected.dtype}`;
  const size = expected.shape.reduce((a, b) => a * b, 1);
  const odd = [actual, expected].find(({ data }) => data.length !== size);
  if (odd) return `${odd === actual ? '' : 'the reference has '}${odd.data.length} elements for a shape of ${size}`;
  const exact = expected.dtype !== 'float32';
  const at = expected.data.findIndex((e, i) => {
    const a = actual.data[i]!;
    return (exact || !Number.isFinite(e) || !Number.isFinite(a)) && !(a === e || (Number.isNaN(a) && Number.isNaN(e)));
  });
  return at < 0 ? null : `element ${at} is ${actual.data[at]}, expected ${expected.data[at]}`;
}

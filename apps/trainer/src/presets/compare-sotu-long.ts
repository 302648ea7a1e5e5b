import type { ComparisonConfigInput } from '../comparison/config';
import { methods } from './methods';

/** The long form of the comparison: three seeds, more tokens, and the whole validation text at the end. */
export const compareSotuLong = {
  kind: 'comparison',
  from: 'sotu-mini',
  methods,
  seeds: [1, 2, 3],
  sequenceLength: 256,
  batchSize: 16,
  tokens: 4_000_000,
  optimizer: { learningRate: 1e-3 },
  evaluateEvery: 100,
  evaluationWindows: 64,
  checkpointEvery: 100,
} satisfies ComparisonConfigInput;

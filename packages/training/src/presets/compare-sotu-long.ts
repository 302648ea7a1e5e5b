import type { ComparisonConfigInput } from '../comparison/config';
import { methods } from './methods';

/** The long form of the comparison: three seeds and more tokens, 35 minutes to an hour on two cores. */
export const compareSotuLong = {
  kind: 'comparison',
  from: 'sotu-mini',
  methods,
  seeds: [1, 2, 3],
  sequenceLength: 256,
  batchSize: 4,
  tokens: 600_000,
  optimizer: { learningRate: 1e-3 },
  evaluateEvery: 150,
  evaluationWindows: 32,
  finalEvaluationWindows: 256,
  checkpointEvery: 100,
} satisfies ComparisonConfigInput;

import type { ComparisonConfigInput } from '../comparison/config';
import { methods } from './methods';

/** The short form of the comparison, for `mixsga demo`: one seed, and minutes on two cores. */
export const demo = {
  kind: 'comparison',
  from: 'sotu-mini',
  methods,
  seeds: [1],
  sequenceLength: 256,
  batchSize: 4,
  tokens: 245_760,
  optimizer: { learningRate: 1e-3 },
  evaluateEvery: 48,
  evaluationWindows: 32,
  finalEvaluationWindows: 128,
  checkpointEvery: 50,
} satisfies ComparisonConfigInput;

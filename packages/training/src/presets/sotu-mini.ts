import type { RunConfigInput } from '../config/run-config';

/** The base model that ships with the zoo, pretrained from random weights on the embedded corpus. */
export const sotuMini = {
  kind: 'run',
  model: {
    init: { family: 'opt', layers: 4, hiddenSize: 128, heads: 8, ffnSize: 512, contextLength: 256 },
    attention: 'mha',
  },
  data: { corpus: 'sotu', vocabularySize: 2048 },
  sequenceLength: 256,
  batchSize: 4,
  tokens: 8_000_000,
  optimizer: { learningRate: 2e-3, minLearningRateRatio: 0.1, warmupRatio: 0.02 },
  routerLoss: { alpha: 0 },
  seed: 1,
  evaluateEvery: 400,
  evaluationWindows: 64,
  checkpointEvery: 200,
} satisfies RunConfigInput;

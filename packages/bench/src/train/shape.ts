import type { ModelShape } from '../model-shape';

/** Shape of the model and the batch that a training benchmark runs. */
export interface TrainShape extends ModelShape {
  /** T, tokens of a window. */
  sequenceLength: number;
  /** B, windows of a batch. */
  batchSize: number;
}

/** The benchmark's shape: an OPT of 1.07 M parameters. */
export const TRAIN_SHAPE: TrainShape = {
  layers: 4,
  hiddenSize: 128,
  heads: 4,
  ffnSize: 512,
  vocabularySize: 2048,
  sequenceLength: 128,
  batchSize: 8,
};

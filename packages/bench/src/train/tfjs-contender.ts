import { type BackendInfo, SeededRandom, useReferenceKernels } from '@mixsga/backend';
import { createTrainable, randomParameters } from '@mixsga/models';
import { type Batch, Trainer } from '@mixsga/training';
import { version_core } from '@tensorflow/tfjs-core';

import { timeSteps } from '../contender';
import { optConfig } from '../model-shape';
import type { TrainContender } from './contender';
import type { TrainShape } from './shape';

/**
 * Training on the active backend, by the same trainer that `mixsga train` uses.
 *
 * @param kernels `fast`: what `mixsga train` runs; `reference`: the same operations composed of stock TensorFlow.js ones
 */
export async function tfjsContender(
  { name, detail }: Pick<BackendInfo, 'name' | 'detail'>,
  attention: string,
  kernels: 'fast' | 'reference',
  shape: TrainShape,
): Promise<TrainContender> {
  const config = optConfig(shape, attention, shape.sequenceLength);
  const model = await createTrainable(config, randomParameters(config, 0));
  const trainer = new Trainer(model, {
    schedule: { learningRate: 1e-3, minLearningRateRatio: 1, warmupSteps: 1, totalSteps: 1 },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    clip: 1,
    routerLoss: { alpha: 1 },
    sequenceLength: shape.sequenceLength,
  });
  const batch = randomBatch(shape);
  const backend = kernels === 'fast' ? name : `tfjs-${name}`;
  return {
    label: `${backend} ${attention}`,
    backend,
    attention,
    threads: 1,
    detail: kernels === 'fast' ? detail : `TensorFlow.js ${version_core}, stock operations`,
    async run(seconds) {
      useReferenceKernels(kernels === 'reference');
      try {
        return await timeSteps(seconds, () => trainer.takeStep([batch]));
      } finally {
        useReferenceKernels(false);
      }
    },
    dispose() {
      trainer.dispose();
      model.dispose();
    },
  };
}

function randomBatch({ batchSize, sequenceLength, vocabularySize }: TrainShape): Batch {
  const random = new SeededRandom(0);
  const ids = () => Int32Array.from({ length: batchSize * sequenceLength }, () => random.nextInt(vocabularySize));
  return { inputs: ids(), targets: ids() };
}

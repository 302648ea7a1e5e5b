import type { BalanceBatch, TrainableModel } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import type { Sampler } from './loop';
import { tokensOf } from './trainer';

/** Enough that what they tell of the ratios is not what sets texts apart. */
const TOKENS = 65_536;

/**
 * Balances routers that hold their ratios by a bias once more, over more tokens than a step has and for the model as it is in the end:
 * in training the bias follows weights that move. Does nothing where the model has none.
 *
 * @param sampler of the training part
 */
export async function calibrate(
  model: Pick<TrainableModel, 'balanceScores' | 'balance'>, sampler: Pick<Sampler, 'next'>, sequenceLength: number,
): Promise<void> {
  const batches: BalanceBatch[] = [];
  for (let tokens = 0; tokens < TOKENS; ) {
    const batch = sampler.next();
    const length = batch.length ?? sequenceLength;
    const rows = (values: Int32Array) => tf.tensor2d(values, [values.length / length, length], 'int32');
    const { inputs, mask } = { inputs: rows(batch.inputs), mask: batch.mask && rows(batch.mask) };
    const scores = model.balanceScores({ inputs, ...(mask ? { mask } : {}) });
    tf.dispose([inputs, ...(mask ? [mask] : [])]);
    if (scores.length === 0) return;
    batches.push({ scores, ...(batch.mask ? { mask: batch.mask } : {}) });
    tokens += tokensOf(batch);
  }
  await model.balance(batches, 1);
  tf.dispose(batches.flatMap(({ scores }) => scores));
}

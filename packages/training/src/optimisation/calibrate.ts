import type { BalanceBatch, TrainableModel } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import type { Sampler } from './loop';
import { type Batch, tokensOf } from './trainer';

/** Enough that what they tell of the ratios is not what sets texts apart. */
const TOKENS = 65_536;
/** A layer reads what those before it make of the tokens, which their new biases change: the first pass leaves deep layers off by some. */
const PASSES = 2;

/**
 * Balances routers that hold their ratios by a bias once more, over more tokens than a step has and for the model as it is in the end:
 * in training the bias follows weights that move. Does nothing where the model has none.
 *
 * @param sampler of the training part
 */
export async function calibrate(
  model: Pick<TrainableModel, 'balanceScores' | 'balance'>, sampler: Pick<Sampler, 'next'>, sequenceLength: number,
): Promise<void> {
  const batches = [sampler.next()];
  for (let tokens = tokensOf(batches[0]!); tokens < TOKENS; tokens += tokensOf(batches.at(-1)!)) batches.push(sampler.next());
  for (let pass = 0; pass < PASSES; pass++) {
    const scored: BalanceBatch[] = [];
    for (const batch of batches) {
      const scores = scoresOf(model, batch, sequenceLength);
      if (scores.length === 0) return;
      scored.push({ scores, ...(batch.mask ? { mask: batch.mask } : {}) });
    }
    await model.balance(scored, 1);
    tf.dispose(scored.flatMap(({ scores }) => scores));
  }
}

function scoresOf(model: Pick<TrainableModel, 'balanceScores'>, batch: Batch, sequenceLength: number): tf.Tensor3D[] {
  const length = batch.length ?? sequenceLength;
  const rows = (values: Int32Array) => tf.tensor2d(values, [values.length / length, length], 'int32');
  const { inputs, mask } = { inputs: rows(batch.inputs), mask: batch.mask && rows(batch.mask) };
  const scores = model.balanceScores({ inputs, ...(mask ? { mask } : {}) });
  tf.dispose([inputs, ...(mask ? [mask] : [])]);
  return scores;
}

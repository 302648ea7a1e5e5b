import { startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { clippingFactor } from './optimizer';
import { TinyModel } from './testing/tiny-model';
import { Trainer, type TrainerOptions } from './trainer';

const options: TrainerOptions = {
  schedule: { learningRate: 0.05, minLearningRateRatio: 0, warmupSteps: 2, totalSteps: 60 },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
  clip: 1,
  routerLoss: { alpha: 0.5 },
  sequenceLength: 8,
};

/** Token t is followed by t + 1 modulo 5: learnable by a bigram model. */
function batch(start: number, windows = 2) {
  const inputs = Int32Array.from({ length: 8 * windows }, (_, i) => (start + i) % 5);
  return { inputs, targets: inputs.map((id) => (id + 1) % 5) };
}

beforeAll(async () => {
  await startBackend('wasm');
});

describe('Trainer', () => {
  let model: TinyModel;
  let trainer: Trainer;
  const start = (changes: Partial<TrainerOptions> = {}): void => {
    model = new TinyModel(5, 4, 7);
    trainer = new Trainer(model, { ...options, ...changes });
  };
  afterEach(() => {
    trainer.dispose();
    model.dispose();
  });

  it('learns, and reports what it minimises', async () => {
    start();
    const first = await trainer.takeStep([batch(0)]);
    expect(first.step).toBe(1);
    expect(first.learningRate).toBe(0.025);
    expect(first.loss).toBeCloseTo(first.lm + 0.5 * first.consistency, 5);
    let last = first;
    for (let i = 1; i < 60; i++) last = await trainer.takeStep([batch(i)]);
    expect(first.lm).toBeGreaterThan(1);
    expect(last.lm).toBeLessThan(0.3);
  });

  it('keeps the number of tensors and buffers constant from step to step', async () => {
    start();
    await trainer.takeStep([batch(0), batch(1)]);
    const before = { tensors: tf.memory().numTensors, buffers: tf.engine().backend.numDataIds() };
    for (let i = 0; i < 5; i++) await trainer.takeStep([batch(i), batch(i + 1)]);
    expect({ tensors: tf.memory().numTensors, buffers: tf.engine().backend.numDataIds() }).toEqual(before);
  });

  it('leaves nothing behind when it and the model are disposed', async () => {
    const before = tf.memory().numTensors;
    start();
    await trainer.takeStep([batch(0)]);
    trainer.dispose();
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('takes the same step for two accumulated batches as for both in one', async () => {
    start();
    const both = { inputs: Int32Array.of(...batch(0).inputs, ...batch(3).inputs), targets: Int32Array.of(...batch(0).targets, ...batch(3).targets) };
    const together = await trainer.takeStep([both]);
    const weights = await model.values();
    trainer.dispose();
    model.dispose();
    start();
    const accumulated = await trainer.takeStep([batch(0), batch(3)]);
    expect(accumulated.loss).toBeCloseTo(together.loss, 5);
    expect(accumulated.gradientNorm).toBeCloseTo(together.gradientNorm, 5);
    for (const [name, values] of await model.values()) {
      values.forEach((value, i) => expect(value).toBeCloseTo(weights.get(name)![i]!, 4));
    }
  });

  it('weights accumulated batches by the targets that count, and batches may differ in length', async () => {
    start();
    const some = { ...batch(0), targets: batch(0).targets.map((id, i) => (i < 5 ? id : -1)) };
    const both = { inputs: Int32Array.of(...some.inputs, ...batch(3).inputs), targets: Int32Array.of(...some.targets, ...batch(3).targets) };
    const together = await trainer.takeStep([both]);
    const weights = await model.values();
    trainer.dispose();
    model.dispose();
    start();
    const shorter = { length: 4, ...batch(3) }; // the same tokens in more windows, which a bigram model cannot tell
    const accumulated = await trainer.takeStep([some, shorter]);
    expect(accumulated.lm).toBeCloseTo(together.lm, 5);
    expect(accumulated.consistency).toBeCloseTo(together.consistency, 5);
    expect(accumulated.loss).toBeCloseTo(together.loss, 5);
    expect(accumulated.gradientNorm).toBeCloseTo(together.gradientNorm, 5);
    for (const [name, values] of await model.values()) {
      values.forEach((value, i) => expect(value).toBeCloseTo(weights.get(name)![i]!, 4));
    }
  });

  it('decays matrices and leaves vectors alone', async () => {
    start({ optimizer: { ...options.optimizer, weightDecay: 0 } });
    await trainer.takeStep([batch(0)]);
    const plain = await model.values();
    trainer.dispose();
    model.dispose();
    start();
    await trainer.takeStep([batch(0)]);
    const decayed = await model.values();
    expect(decayed.get('bias')).toEqual(plain.get('bias'));
    expect(decayed.get('head')).not.toEqual(plain.get('head'));
  });

  it('repeats bit for bit', async () => {
    const losses: number[][] = [];
    for (let run = 0; run < 2; run++) {
      start();
      const row: number[] = [];
      for (let i = 0; i < 10; i++) row.push((await trainer.takeStep([batch(i)])).loss);
      losses.push(row);
      trainer.dispose();
      model.dispose();
    }
    expect(losses[0]).toEqual(losses[1]);
    start();
  });

  it('stops with one line when the loss is no number, and leaves the weights as they were', async () => {
    start();
    model.parameters().get('bias')!.assign(tf.tensor1d([NaN, 0, 0, 0]));
    const before = await model.values();
    await expect(trainer.takeStep([batch(0)])).rejects.toThrow(/^training: step 1 has loss NaN .* lower optimizer.learningRate/);
    expect(await model.values()).toEqual(before);
    expect(trainer.step).toBe(0);
  });
});

describe('clippingFactor', () => {
  it('scales only what is above the limit', () => {
    expect(clippingFactor(0.5, 1)).toBe(1);
    expect(clippingFactor(4, 1)).toBe(0.25);
    expect(clippingFactor(0, 1)).toBe(1);
  });
});

import { SeededRandom, startBackend, trackTensors } from '@mixsga/backend';
import { createTrainable } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { NaiveOpt } from './naive-opt';
import { type RandomModel, randomModels } from './random-model';

const SHAPE = { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, vocabularySize: 40 };
const LENGTH = 12;

beforeAll(() => startBackend('wasm'));

describe('NaiveOpt', () => {
  it.each(['mha', 'gqa:2'])('gives the logits of the model with %s, in one pass and token by token', async (attention) => {
    const [{ config, values }] = (await randomModels(SHAPE, [attention], LENGTH)) as [RandomModel];
    const random = new SeededRandom(1);
    const ids = Int32Array.from({ length: LENGTH }, () => random.nextInt(SHAPE.vocabularySize));
    const model = await createTrainable(config, values);
    const all = tf.tidy(() => model.logits(tf.tensor2d(ids, [1, LENGTH]), { routing: 'decode' }).dataSync<'float32'>());
    const expected = all.slice(-SHAPE.vocabularySize);
    model.dispose();
    const largest = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);

    const naive = new NaiveOpt(config, values);
    const tracked = await trackTensors(() => {
      const whole = naive.forward(ids, null);
      let step = naive.forward(ids.subarray(0, 5), null);
      for (let token = 5; token < LENGTH; token++) {
        const next = naive.forward(ids.subarray(token, token + 1), step.cache);
        tf.dispose(step);
        step = next;
      }
      expect(step.cache[1]!.k.shape).toEqual([naive.kvHeads, LENGTH, naive.headDim]);
      for (const { logits } of [whole, step]) {
        const actual = logits.dataSync();
        actual.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-4 * largest));
      }
      tf.dispose([whole, step]);
    });
    expect(tracked.tensors).toBe(0);
    naive.dispose();
  });
});

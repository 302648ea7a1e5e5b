import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { startBackend } from '../../platform/index';
import { SeededRandom } from '../../random';
import { integers, normal } from '../../testing/inputs';
import { linearCrossEntropy, tokenNll } from './op';

describe.each(['wasm', 'cpu'] as const)('on %s', (backend) => {
  test('the loss is the mean of tokenNll over the rows with a target', async () => {
    await startBackend(backend);
    const { loss, nll, ids } = tf.tidy(() => {
      const random = new SeededRandom(5);
      const x: tf.Tensor2D = normal(random, [90, 12]);
      const w: tf.Tensor2D = normal(random, [31, 12]);
      const targets: tf.Tensor1D = integers(random, [90], 31, -5);
      return {
        loss: linearCrossEntropy(x, w, targets).dataSync()[0],
        nll: [...tokenNll(x, w, targets).dataSync()],
        ids: targets.dataSync(),
      };
    });
    const counted = nll.filter((_, i) => ids[i]! >= 0);
    expect(counted.length).toBeLessThan(90);
    expect(loss).toBeCloseTo(counted.reduce((a, b) => a + b, 0) / counted.length, 5);
    nll.forEach((value, i) => expect(ids[i]! >= 0 ? value > 0 : value === 0).toBe(true));
  });

  test('without any knowledge a token costs the logarithm of the vocabulary', async () => {
    await startBackend(backend);
    const nll = tf.tidy(() =>
      tokenNll(tf.zeros([3, 8]), tf.ones([2048, 8]), tf.tensor1d([0, 1000, 2047], 'int32')).dataSync(),
    );
    nll.forEach((value) => expect(value).toBeCloseTo(Math.log(2048), 5));
  });

  test('probabilities of all targets sum to 1', async () => {
    await startBackend(backend);
    const nll = [...tf.tidy(() => {
      const random = new SeededRandom(6);
      const x = tf.tile(normal<tf.Tensor2D>(random, [1, 7]), [19, 1]);
      return tokenNll(x, normal(random, [19, 7]), tf.range(0, 19, 1, 'int32')).dataSync();
    })];
    expect(nll.reduce((sum, value) => sum + Math.exp(-value), 0)).toBeCloseTo(1, 5);
  });
});

import { startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { NEVER } from './balance';
import { logOdds, softGates } from './gates';
import { balancedRouter, createRouter, distortionRouter, randomRouter } from './index';

beforeAll(() => startBackend('cpu'));

describe('log-odds', () => {
  it('undo the sigmoid, and stay finite at 0 and 1', () => {
    for (const x of [-20, -3, -0.5, 0, 0.5, 3, 12]) expect(logOdds(1 / (1 + Math.exp(-x)))).toBeCloseTo(x, 6);
    expect(logOdds(0)).toBeCloseTo(Math.log(1e-37), 9);
    expect(logOdds(1)).toBeCloseTo(-Math.log(6e-8), 9);
  });

  it('are what gates are the softmax of', async () => {
    const scores = [0.8, 0.5, 0.2];
    const odds = scores.map((score) => score / (1 - score));
    const sum = odds.reduce((a, b) => a + b);
    const gates = await softGates(tf.tensor([[scores]]) as Tensor3D).data();
    odds.forEach((each, i) => expect(gates[i]).toBeCloseTo(each / sum, 5));
  });
});

describe('a new router', () => {
  const options = { hiddenSize: 1, ratios: [0.5, 0.5, 0], seed: 1, layer: 0 };

  it('starts from a bias of 0, and out of reach for experts of ratio 0', async () => {
    for (const create of [balancedRouter, distortionRouter]) {
      const router = create(options);
      expect(Array.from(await router.buffers.bias!.data())).toEqual([0, 0, NEVER]);
      router.dispose();
    }
  });

  it('has a loss of 0 where nothing is learned by one', async () => {
    const scores = tf.zeros([1, 2, 3]) as Tensor3D;
    const assignment = tf.zeros<tf.Rank.R2>([1, 2], 'int32');
    for (const kind of ['balanced', 'distortion', 'random']) {
      const router = createRouter(kind, options);
      expect(await router.loss(scores, assignment).data()).toEqual(Float32Array.of(0));
      router.dispose();
    }
  });

  it('by chance gives a draw that rounds to 1 to the last expert that has a share', async () => {
    const router = randomRouter(options);
    const draws = [0, 0.499, 0.5, 0.999, 1].map((draw) => [0, 0, draw]);
    expect(Array.from(await router.decode(tf.tensor([draws]) as Tensor3D).data())).toEqual([0, 0, 1, 1, 1]);
    router.dispose();
  });
});

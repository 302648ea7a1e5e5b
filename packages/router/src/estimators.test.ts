import { SeededRandom, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gradientEstimators, softGates, type EstimatorKind } from './index';
import { plainExpertChoice } from './testing';

const RATIOS = [0.3, 0.1, 0.6];
const TOKENS = 20;

describe.each(['cpu', 'wasm'] as const)('on %s', (backend) => {
  beforeAll(() => startBackend(backend));
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());

  /** Tokens of which every fifth is padding. */
  function inputs() {
    const random = new SeededRandom(3, 1);
    const draw = () => Array.from({ length: TOKENS }, () => RATIOS.map(() => random.normal()));
    const real = Array.from({ length: TOKENS }, (_, token) => token % 5 !== 4);
    const along = draw().map((row, token) => row.map((value) => (real[token] ? value : 0)));
    const gates = softGates(tf.sigmoid(tf.tensor3d([draw()])));
    const assignment = tf.tensor1d(real.map((is, token) => (is ? token % 3 : -1)), 'int32');
    return { along: tf.tensor2d(along), gates, assignment, ratios: RATIOS, real };
  }

  /** The gradient in the logits behind the gates. */
  function inLogits(gates: Tensor2D, gradient: Tensor2D): number[][] {
    return tf.tidy(() => tf.mul<Tensor2D>(gates, tf.sub(gradient, tf.sum(tf.mul(gradient, gates), 1, true))).arraySync());
  }

  it.each(Object.keys(gradientEstimators) as EstimatorKind[])('%s is of the gates\' shape, 0 for padding, and leaves nothing behind', (kind) => {
    const given = inputs();
    const before = tf.memory().numTensors;
    const gradient = gradientEstimators[kind](given);
    expect(gradient.shape).toEqual([TOKENS, 3]);
    inLogits(given.gates, gradient).forEach((row, token) => {
      if (given.real[token]) expect(row.some((value) => Math.abs(value) > 1e-4)).toBe(true);
      else row.forEach((value) => expect(value).toBeCloseTo(0, 7));
    });
    gradient.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('importance draws the gates to the experts that expert choice gives by what they save', () => {
    const given = inputs();
    const [along, gates] = [given.along.arraySync(), given.gates.arraySync()];
    const target = plainExpertChoice(along.map((row) => row.map((value) => row[2]! - value)), RATIOS, given.real);
    const count = given.real.filter(Boolean).length;
    inLogits(given.gates, gradientEstimators.importance(given)).forEach((row, token) => {
      if (!given.real[token]) return;
      row.forEach((value, e) => expect(value).toBeCloseTo((gates[token]![e]! - Number(e === target[token])) / count, 5));
    });
  });

  it('importance is finite where a gate underflows and where nothing is at stake', () => {
    const gates = tf.tensor2d([[1, 0, 0], [0, 0, 1]]);
    const assignment = tf.tensor1d([0, 2], 'int32') as Tensor1D;
    for (const along of [[[0, 0, 5], [5, 0, 0]], [[0, 0, 0], [0, 0, 0]]]) {
      const gradient = gradientEstimators.importance({ along: tf.tensor2d(along), gates, assignment, ratios: RATIOS });
      expect(gradient.dataSync<'float32'>().every(Number.isFinite)).toBe(true);
    }
  });
});

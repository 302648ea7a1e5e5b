import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { ArgumentError } from '../../errors';
import { startBackend } from '../../platform/index';
import { SeededRandom } from '../../random';
import { integers, normal } from '../../testing/inputs';
import { linearCrossEntropy } from '../linear-cross-entropy/op';
import { linearDistillation } from './op';

const close = (actual: ArrayLike<number>, expected: readonly number[]) => {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => expect(actual[i]).toBeCloseTo(value, 5));
};

describe.each(['wasm', 'cpu'] as const)('on %s', (backend) => {
  test('losses and gradients are those of PyTorch 2.5 (cross_entropy with ignore_index, and kl_div with log_target over the same rows)', async () => {
    await startBackend(backend);
    tf.tidy(() => {
      const x = tf.tensor2d([0.5, -1, 2, 1, 0.25, -0.5, -2, 1, 0.75], [3, 3]);
      const w = tf.tensor2d([1, 0.5, -1, -0.5, 0.25, 0.75, 0.2, -0.3, 0.4, -1, 1.5, 0.5], [4, 3]);
      const teacher = { x: tf.tensor2d([1, -0.5, 0.25, 2, -1, -1], [3, 2]), w: tf.tensor2d([0.5, -1, 1, 1, -0.75, 0.5, 2, 0.1], [4, 2]) };
      const targets = tf.tensor1d([2, -100, 0], 'int32');
      const { loss, lm, kl } = linearDistillation({ x, w }, teacher, targets, 0.6);
      close([loss, lm, kl].map((value) => value.dataSync()[0]!), [3.148538589, 3.468523025, 2.935215712]);
      const [dx, dw] = tf.grads((x, w) => linearDistillation({ x: x as tf.Tensor2D, w: w as tf.Tensor2D }, teacher, targets, 0.6).loss)([x, w]);
      close(dx!.dataSync(), [0.018168, -0.228071, 0.12546, 0, 0, 0, -0.824279, 0.506841, 0.553288]);
      close(dw!.dataSync(), [0.678649, -0.295091, -0.383509, -0.002895, -0.122844, 0.363603, 0.251493, -0.159037, 0.002787, -0.927247, 0.576971, 0.01712]);
    });
  });

  test('a teacher that is the student has no divergence, and weight 0 is the cross-entropy', async () => {
    await startBackend(backend);
    tf.tidy(() => {
      const random = new SeededRandom(8);
      const student = { x: normal<tf.Tensor2D>(random, [90, 12]), w: normal<tf.Tensor2D>(random, [31, 12]) };
      const targets = integers(random, [90], 31, -5) as tf.Tensor1D;
      const { loss, lm, kl } = linearDistillation(student, student, targets, 0);
      expect(kl.dataSync()[0]).toBeCloseTo(0, 5);
      const expected = linearCrossEntropy(student.x, student.w, targets).dataSync()[0]!;
      for (const value of [loss, lm]) expect(value.dataSync()[0]).toBeCloseTo(expected, 5);
      const gradient = tf.grad((x) => linearDistillation({ ...student, x: x as tf.Tensor2D }, student, targets, 1).loss)(student.x);
      expect(Math.max(...gradient.dataSync().map(Math.abs))).toBeLessThan(1e-6);
    });
  });
});

test.each([
  [{ teacher: [3, 9, 2] }, 'linearDistillation: expected teacher.w of shape [4, 2], got [9, 2]'],
  [{ teacher: [2, 4, 2] }, 'linearDistillation: expected teacher.x of shape [3, *], got [2, 2]'],
  [{ weight: 1.5 }, 'linearDistillation: expected a weight from 0 to 1, got 1.5'],
  [{ weight: NaN }, 'linearDistillation: expected a weight from 0 to 1, got NaN'],
])('refuses %j', async ({ teacher = [3, 4, 2], weight = 1 }: { teacher?: number[]; weight?: number }, message) => {
  await startBackend('cpu');
  const [rows, vocabulary, size] = teacher as [number, number, number];
  const run = () =>
    linearDistillation(
      { x: tf.zeros([3, 3]), w: tf.zeros([4, 3]) },
      { x: tf.zeros([rows, size]), w: tf.zeros([vocabulary, size]) },
      tf.tensor1d([0, 1, 2], 'int32'),
      weight,
    );
  expect(run).toThrow(ArgumentError);
  expect(run).toThrow(message);
});

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { startBackend } from '../../platform/index';
import { SeededRandom } from '../../random';
import { expectNoLeaks } from '../../testing/leaks';
import { adamwStep, sumOfSquares } from './op';

const SIZE = 37;
const STEPS = 25;
const options = { learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, gradientScale: 0.4 };

/** AdamW in double precision, by Loshchilov and Hutter's algorithm 2. */
function trajectory(start: Float32Array, gradients: Float32Array[]): number[] {
  const { learningRate, beta1, beta2, epsilon, weightDecay, gradientScale } = options;
  return [...start].map((parameter, i) => {
    let [first, second] = [0, 0];
    gradients.forEach((gradient, t) => {
      const g = gradient[i]! * gradientScale;
      first = beta1 * first + (1 - beta1) * g;
      second = beta2 * second + (1 - beta2) * g * g;
      const direction = first / (1 - beta1 ** (t + 1)) / (Math.sqrt(second / (1 - beta2 ** (t + 1))) + epsilon);
      parameter -= learningRate * (direction + weightDecay * parameter);
    });
    return parameter;
  });
}

describe.each(['wasm', 'cpu'] as const)('on %s', (backend) => {
  test(`${STEPS} steps follow AdamW in double precision`, async () => {
    await startBackend(backend);
    const random = new SeededRandom(4);
    const draw = () => Float32Array.from({ length: SIZE }, () => random.normal());
    const [start, gradients] = [draw(), Array.from({ length: STEPS }, draw)];
    // A gradient of zero from the start has no direction to go to.
    gradients.forEach((gradient) => (gradient[5] = 0));
    // In a tidy, since a variable shares the memory of the tensor that it is made of.
    const [parameter, first, second] = tf.tidy(() => [
      tf.variable(tf.tensor1d(start)), tf.variable(tf.zeros([SIZE])), tf.variable(tf.zeros([SIZE])),
    ]) as [tf.Variable, tf.Variable, tf.Variable];
    for (const [t, data] of gradients.entries()) {
      const gradient = tf.tensor1d(data);
      await expectNoLeaks(() => adamwStep(parameter, gradient, first, second, { ...options, step: t + 1 }));
      gradient.dispose();
    }
    const expected = trajectory(start, gradients);
    const actual = [...parameter.dataSync()];
    const square = (differences: number[]) => differences.reduce((sum, d) => sum + d * d, 0);
    const moved = square(expected.map((value, i) => value - start[i]!));
    expect(square(actual.map((value, i) => value - expected[i]!)) / moved).toBeLessThan(1e-9);
    tf.dispose([parameter, first, second]);
  });

  test('the squares are summed over all tensors', async () => {
    await startBackend(backend);
    const sum = tf.tidy(() => sumOfSquares([tf.tensor1d([1, 2]), tf.tensor2d([[3], [4]]), tf.scalar(5)]).dataSync()[0]);
    expect(sum).toBe(55);
    expect(tf.tidy(() => sumOfSquares([]).dataSync()[0])).toBe(0);
    expect(tf.tidy(() => sumOfSquares([tf.tensor1d([1, NaN])]).dataSync()[0])).toBeNaN();
  });
});

test('on wasm many small squares are not lost beside a large one', async () => {
  await startBackend('wasm');
  const sum = tf.tidy(() => sumOfSquares([tf.tensor1d([4096]), tf.fill([100_000], 0.5)]).dataSync()[0]);
  expect(sum).toBe(4096 ** 2 + 25_000);
});

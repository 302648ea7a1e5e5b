import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { expectNoLeaks } from '../testing/leaks';
import { startBackend } from './index';
import { trackTensors } from './tensors';

beforeAll(() => startBackend('wasm'));

test('tensors and bytes left behind are counted', async () => {
  const { result, tensors, bytes, buffers } = await trackTensors(() => tf.add(tf.zeros([2, 3]), 1));
  expect([tensors, bytes, buffers]).toEqual([2, 48, 2]);
  expect((await trackTensors(() => result.dispose())).bytes).toBe(-24);
});

test('a function that leaves a tensor, or disposes one that is not its own, fails', async () => {
  await expect(expectNoLeaks(() => tf.zeros([5]))).rejects.toThrow(/expected 0 tensors to be left, got 1 \(20 bytes/);
  const mine = tf.zeros([5]);
  await expect(expectNoLeaks(() => mine.dispose())).rejects.toThrow(/expected 0 tensors to be left, got -1/);
});

test('a kernel that leaves a buffer without a tensor fails', async () => {
  const backend = tf.backend() as unknown as { makeOutput(shape: number[], dtype: string): unknown };
  await expect(expectNoLeaks(() => void backend.makeOutput([4], 'float32'))).rejects.toThrow(/1 buffers of the backend/);
});

test('the result may be kept', async () => {
  const kept = await expectNoLeaks(() => tf.tidy(() => tf.add(tf.zeros([5]), 1)), { keeps: 1 });
  expect(kept.isDisposed).toBe(false);
});

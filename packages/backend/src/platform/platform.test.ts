import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, test } from 'vitest';
import { ArgumentError, BackendError } from '../errors';
import { linear } from '../kernels/index';
import { describeBackends, startBackend } from './index';
import type { BackendName } from './platform';
import { resolvePackage } from './node';

const reports = await describeBackends();
const report = (name: BackendName) => reports.find((candidate) => candidate.name === name)!;

const fatalListeners = () =>
  (['uncaughtException', 'unhandledRejection'] as const).map((event) => process.listenerCount(event));
const before = fatalListeners();

const environment = { ...process.env };
afterEach(() => {
  process.env = { ...environment };
});

test('describing backends reports each, with a reason for those that can not start, and starts none', () => {
  expect(reports.map(({ name }) => name)).toEqual(['wasm', 'cpu', 'webgpu', 'cuda']);
  expect(report('wasm')).toMatchObject({ available: true, software: false });
  expect(report('cpu')).toMatchObject({ available: true, software: false });
  for (const { available, reason, install } of reports) {
    if (!available) expect([reason, install]).toEqual([expect.stringMatching(/^.+$/), expect.stringMatching(/^.+$/)]);
  }
});

test.each(['cpu', 'wasm', 'cpu'] as const)('%s starts and computes, again and again', async (name) => {
  const info = await startBackend(name);
  expect(info).toMatchObject({ name, tfjsName: name, software: false, passedOver: [] });
  expect(tf.getBackend()).toBe(name);
  const y = linear(tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4]]), tf.tensor1d([5]));
  expect(await y.data()).toEqual(Float32Array.of(16));
});

test('wasm says which of its kernels run', async () => {
  expect((await startBackend('wasm')).detail).toMatch(/^WebAssembly, (relaxed-)?simd$/);
});

test('wasm leaves the handling of uncaught errors to the process', async () => {
  await startBackend('wasm');
  expect(fatalListeners()).toEqual(before);
});

test('auto takes the first real device and says why it passed over the others', async () => {
  delete process.env['MIXSGA_BACKEND'];
  const order: BackendName[] = ['cuda', 'webgpu', 'wasm', 'cpu'];
  const { name, passedOver } = await startBackend();
  expect(name).toBe(order.find((candidate) => report(candidate).available && !report(candidate).software));
  expect(passedOver.map((passed) => passed.name)).toEqual(order.slice(0, order.indexOf(name)));
  for (const { reason } of passedOver) expect(reason).toMatch(/^.+$/);
});

test('the environment chooses when the caller does not', async () => {
  process.env['MIXSGA_BACKEND'] = 'cpu';
  expect((await startBackend()).name).toBe('cpu');
  expect((await startBackend('wasm')).name).toBe('wasm');
  process.env['MIXSGA_BACKEND'] = 'gpu';
  await expect(startBackend()).rejects.toThrow(
    new ArgumentError('MIXSGA_BACKEND: expected a backend (auto, wasm, cpu, webgpu, cuda), got "gpu"; did you mean cpu?'),
  );
});

test('an unknown name is refused with the names there are and the nearest', async () => {
  const error: unknown = await startBackend('wsam' as BackendName).catch((thrown: unknown) => thrown);
  expect(ArgumentError.isInstance(error) && error.message).toBe(
    'startBackend: expected a backend (auto, wasm, cpu, webgpu, cuda), got "wsam"; did you mean wasm?',
  );
  await expect(startBackend('tensorflow' as BackendName)).rejects.toThrow(/got "tensorflow"$/);
});

test.runIf(resolvePackage('@tensorflow/tfjs-node-gpu') === null)('cuda without its package is an error with the command', async () => {
  const before = tf.getBackend();
  const error: unknown = await startBackend('cuda').catch((thrown: unknown) => thrown);
  expect(BackendError.isInstance(error) && error.message).toMatch(
    /^backend cuda can't start: neither @tensorflow\/tfjs-node-gpu nor .* is installed; npm install @tensorflow\/tfjs-node-gpu@4\.22\.0 /,
  );
  expect(tf.getBackend()).toBe(before);
});

describe('webgpu', () => {
  test.runIf(process.platform === 'linux' && resolvePackage('webgpu') !== null)('without a driver is an error with a remedy', async () => {
    process.env['VK_DRIVER_FILES'] = process.env['VK_ICD_FILENAMES'] = '/nonexistent.json';
    const error: unknown = await startBackend('webgpu').catch((thrown: unknown) => thrown);
    expect(BackendError.isInstance(error) && error.message).toMatch(
      /^backend webgpu can't start: no adapter was found.*; install the Vulkan loader and the driver of the graphics card/,
    );
  });

  test('starts where it says that it can, and passes over software only in auto', async ({ skip }) => {
    const { available, software, reason } = report('webgpu');
    if (!available) skip(reason);
    expect(await startBackend('webgpu')).toMatchObject({ name: 'webgpu', software });
    const x = tf.tensor2d([[1, 2], [3, 4]]);
    expect(await tf.matMul(x, x).data()).toEqual(Float32Array.of(7, 10, 15, 22));
    if (software) expect((await startBackend('auto')).passedOver).toContainEqual(
      expect.objectContaining({ name: 'webgpu', reason: 'the processor stands in for its device' }),
    );
  });

  test('an operation that the device refuses is reported', async ({ skip }) => {
    if (!report('webgpu').available) skip(report('webgpu').reason);
    const refused = new Promise<Error>((resolve) => void startBackend('webgpu', { onDeviceError: resolve }).then(() => {
      const { device } = tf.backend() as unknown as { device: GPUDevice };
      device.createBuffer({ size: 16, usage: 0xffff });
    }));
    expect((await refused).message).toMatch(/^webgpu: the device refused an operation, its results are wrong: /);
  });
});

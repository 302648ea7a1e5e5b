import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D, TensorInfo } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { BackendError } from '../errors';
import { kernelCases } from '../kernels/cases';
import { expertChoice, groupMean, linear, linearCrossEntropy, sumOfSquares, useReferenceKernels } from '../kernels/index';
import { startBackend } from '../platform/index';
import { checkKernelCase } from '../testing/conformance';
import { sample } from '../testing/sample';
import type { WasmBackend } from './heap';
import { memoryOf } from './heap';
import { registerWasmKernels } from './register';

const heapBytes = () => memoryOf(tf.backend() as WasmBackend)!.buffer.byteLength;

beforeAll(() => startBackend('wasm'));
afterEach(() => useReferenceKernels(false));

test('registering again changes nothing', async () => {
  const kernel = tf.getKernel('MixsgaLinear', 'wasm');
  const build = await registerWasmKernels();
  expect(await registerWasmKernels()).toBe(build);
  expect(tf.getKernel('MixsgaLinear', 'wasm')).toBe(kernel);
});

test('a kernel whose own output makes the heap grow still finds its inputs', () => {
  const before = heapBytes();
  const rows = Math.ceil(before / 4 / 300) + 1000;
  const corners = tf.tidy(() => {
    const y = linear(tf.ones([rows, 2]), tf.ones([300, 2]), tf.range(0, 300), 'relu');
    return [...tf.gatherND(y, tf.tensor2d([[0, 0], [0, 299], [rows - 1, 0], [rows - 1, 299]], undefined, 'int32')).dataSync()];
  });
  expect(heapBytes()).toBeGreaterThan(before);
  expect(corners).toEqual([2, 301, 2, 301]);
});

test('a heap that can not grow any further is an error, and the next call works', () => {
  const tooLarge = () => tf.tidy(() => void linear(tf.zeros([60_000, 1]), tf.zeros([60_000, 1]), null));
  expect(tooLarge).toThrow(BackendError);
  expect(tooLarge).toThrow(/^wasm: no memory left for a tensor of shape \[60000, 60000\]; use a smaller batch/);
  expect(tf.tidy(() => linear(tf.ones([1, 2]), tf.ones([1, 2]), null).dataSync()[0])).toBe(2);
});

// What benchmarks compare with, and what runs where the side module is refused.
test.each(sample(kernelCases, 3).map((kernelCase) => [kernelCase.kernel, kernelCase.name, kernelCase] as const))(
  '%s as a composition of stock operations: %s',
  async (_kernel, _name, kernelCase) => {
    useReferenceKernels(true);
    const report = await checkKernelCase(kernelCase, 'wasm');
    const passed = { status: 'passed', nmse: expect.any(Number) };
    expect(report.fast).toBe(false);
    expect(report.outputs).toEqual(passed);
    expect(report.gradients).toEqual(kernelCase.differentiable ? passed : null);
  },
);

// Above 2 GiB an address is negative as a signed integer. The space is reserved and never touched.
test.each([0, 2 ** 31])('integers are read and written where they are, above %i bytes', (least) => {
  const backend = tf.backend() as WasmBackend;
  const reserved: TensorInfo[] = [];
  for (let bytes = 0; bytes < least; bytes += 2 ** 28) reserved.push(backend.makeOutput([2 ** 26], 'float32'));
  const before = heapBytes();
  expect(before).toBeGreaterThan(least);
  const results = tf.tidy(() => {
    tf.zeros([2 ** 22]);
    const scores: Tensor3D = tf.tensor3d([[[1, 0], [3, 0], [2, 0], [9, 0]]]);
    const chosen = expertChoice(scores, [0.5, 0.5], tf.tensor2d([[1, 1, 1, 0]], undefined, 'int32'));
    const x: Tensor2D = tf.tensor2d([[1, 3], [1, 3], [1, 3], [1, 3]]);
    const mean = groupMean(x, tf.reshape(chosen, [4]), { headDim: 1, groupSizes: [1, 2] });
    const loss = linearCrossEntropy(tf.zeros([3, 2]), tf.zeros([4, 2]), tf.tensor1d([0, -1, 3], 'int32'));
    return [chosen, mean, sumOfSquares([x]), loss].map((tensor) => [...tensor.dataSync()]);
  });
  reserved.forEach(({ dataId }) => backend.disposeData(dataId));
  expect(results).toEqual([[1, 0, 0, -1], [2, 2, 1, 3, 1, 3, 1, 3], [40], [expect.closeTo(Math.log(4), 6)]]);
});

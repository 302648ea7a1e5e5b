import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BackendError } from '../errors';
import { startBackend } from '../platform/index';
import { compareValues } from './compare';
import { checkKernelCase } from './conformance';
import { normal } from './inputs';
import type { KernelCase } from './kernel-case';

// The suite has to catch what it is there for: here the operations are wrong on purpose.

const values = (data: number[], dtype: 'float32' | 'int32' = 'float32', shape = [data.length]) => ({
  shape, dtype, data: dtype === 'float32' ? Float32Array.from(data) : Int32Array.from(data),
});

describe('comparison', () => {
  test('is relative: small numbers get no absolute tolerance', () => {
    expect(compareValues(values([1e-6, 2e-6]), values([1e-6, 1e-6])).nmse).toBeCloseTo(0.5);
    expect(compareValues(values([1e6, 1e6 + 1]), values([1e6, 1e6])).nmse).toBeLessThan(1e-11);
    expect(compareValues(values([0, 0]), values([0, 0])).nmse).toBe(0);
    expect(compareValues(values([0, 1e-30]), values([0, 0])).nmse).toBe(Infinity);
  });

  test.each([
    [[NaN, 1], [Infinity, 1]], [[1, 1], [NaN, 1]], [[Infinity, 1], [-Infinity, 1]], [[Infinity, 1], [1, 1]],
  ])('%j does not pass for %j', (actual, expected) => {
    expect(compareValues(values(actual), values(expected)).problem).toMatch(/^element 0 is /);
  });

  test('NaN and infinities in place pass, and integers must be equal', () => {
    expect(compareValues(values([NaN, Infinity, 1]), values([NaN, Infinity, 1]))).toEqual({ nmse: 0, problem: null });
    expect(compareValues(values([1000], 'int32'), values([1001], 'int32')).problem).toBe('element 0 is 1000, expected 1001');
    expect(compareValues(values([1], 'int32'), values([1])).problem).toBe('dtype int32, expected float32');
    expect(compareValues(values([1, 2]), values([1, 2], 'float32', [1, 2])).problem).toBe('shape [2], expected [1, 2]');
  });

  test('as many elements as the shape says there have to be, in the reference too', () => {
    const [whole, part] = [values([1, 2, 3, 4, 5, 6], 'float32', [2, 3]), values([1, 2, 3], 'float32', [2, 3])];
    expect(compareValues(part, whole)).toEqual({ nmse: Infinity, problem: '3 elements for a shape of 6' });
    expect(compareValues(whole, part)).toEqual({ nmse: Infinity, problem: 'the reference has 3 elements for a shape of 6' });
    expect(compareValues(part, part).problem).toBe('3 elements for a shape of 6');
  });
});

describe('a wrong operation', () => {
  interface Heap { HEAPF32: Float32Array; HEAPU8: Uint8Array }
  const heap = () => (tf.backend() as unknown as { wasm: Heap }).wasm;
  const addressOf = (t: Tensor) => (tf.backend() as unknown as { getMemoryOffset(id: object): number }).getMemoryOffset(t.dataId);

  const broken = (run: KernelCase['run'], extra: Partial<KernelCase> = {}): KernelCase => ({
    kernel: 'broken', name: 'broken', inputs: (random) => [normal(random, [5, 3])],
    run: (x) => (tf.getBackend() === 'wasm' ? run(x!) : tf.mul(x!, 2)),
    ...extra,
  });

  test.each([
    ['is off by 0.1 %', broken((x) => tf.mul(x!, 2.002)), /^NMSE 1\.0e-6 is above 1e-7$/],
    ['has another shape', broken((x) => tf.mul(tf.reshape(x!, [15]), 2)), /shape \[15\], expected \[5, 3\]/],
    ['gives one output too many', broken((x) => [tf.mul(x!, 2), tf.mul(x!, 2)]), /^2 outputs, expected 1$/],
    ['writes past its output', broken((x) => {
      const y = tf.mul(x!, 2);
      heap().HEAPF32[addressOf(y) / 4 + 15] = 0;
      return y;
    }), /^wrote after a block of 60 bytes, at its byte 60$/],
    ['writes before its output', broken((x) => {
      const y = tf.mul(x!, 2);
      heap().HEAPU8[addressOf(y) - 2] = 0;
      return y;
    }), /^wrote before a block of 60 bytes, at its byte -2$/],
    ['leaves elements unwritten', broken((x) => {
      const y = tf.mul(x!, 2);
      const backend = tf.backend() as unknown as { makeOutput(shape: number[], dtype: string): tf.TensorInfo };
      const out = tf.engine().makeTensorFromTensorInfo(backend.makeOutput([5, 3], 'float32'));
      heap().HEAPF32.copyWithin(addressOf(out) / 4, addressOf(y) / 4, addressOf(y) / 4 + 14);
      return out;
    }), /^output 0: element 14 is NaN, expected /],
    ['changes its input', broken((x) => {
      const y = tf.mul(x!, 2);
      heap().HEAPF32[addressOf(x!) / 4] = 7;
      return y;
    }), /^an input was changed/],
  ] as const)('that %s fails', async (_, kernelCase, message) => {
    expect((await checkKernelCase(kernelCase, 'wasm')).outputs).toMatchObject({ status: 'failed', message: expect.stringMatching(message) });
  });

  test('with a wrong gradient fails, on the backend and in the reference', async () => {
    const wrong = tf.customGrad((x) => ({ value: tf.mul(x as Tensor, 2), gradFunc: (dy) => tf.mul(dy, 2.1) }));
    const onBackend = await checkKernelCase(broken((x) => wrong(x!), { differentiable: [0] }), 'wasm');
    expect([onBackend.outputs.status, onBackend.gradients]).toEqual(['passed', expect.objectContaining({ status: 'failed', message: expect.stringMatching(/^NMSE 2\.5e-3/) })]);
    const everywhere = await checkKernelCase({ ...broken((x) => wrong(x!)), run: (x) => wrong(x!), differentiable: [0] }, 'wasm');
    expect(everywhere.gradients?.message).toMatch(/^gradient of input 0 disagrees with finite differences/);
  });

  test('that a backend lacks is unsupported, not passed', async () => {
    const missing = broken((x) => tf.engine().runKernel('NoSuchKernel', { x: x! }));
    expect((await checkKernelCase(missing, 'wasm')).outputs).toMatchObject({ status: 'unsupported', message: "Kernel 'NoSuchKernel' not registered for backend 'wasm'" });
    const refused = broken(() => { throw new BackendError('wasm: not here'); });
    expect((await checkKernelCase(refused, 'wasm')).outputs.status).toBe('unsupported');
    const crash = broken(() => { throw new Error('oops'); });
    expect((await checkKernelCase(crash, 'wasm')).outputs).toEqual({ status: 'failed', nmse: NaN, message: 'oops' });
  });
});

describe('leaks', () => {
  let before: number;
  beforeAll(async () => {
    await startBackend('wasm');
    before = tf.memory().numTensors;
  });
  afterAll(() => expect(tf.memory().numTensors).toBe(before));

  test('a case leaves no tensors', async () => {
    const good: KernelCase = { kernel: 'mul', name: '5x3', inputs: (random) => [normal(random, [5, 3])], run: (x) => tf.mul(x!, 2), differentiable: [0] };
    await checkKernelCase(good, 'wasm');
  });
});

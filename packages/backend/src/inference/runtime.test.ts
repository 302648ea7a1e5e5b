import { afterAll, describe, expect, test } from 'vitest';
import { useReferenceKernels } from '../kernels/index';
import { describeBackends, startBackend } from '../platform/index';
import { describeRuntime } from '../testing/describe-runtime';
import { createRuntime } from './index';

const webgpu = (await describeBackends()).find(({ name }) => name === 'webgpu')!;

describeRuntime('cpu', async () => {
  await startBackend('cpu');
  return createRuntime();
}, { quick: true });

describeRuntime('wasm', async () => {
  await startBackend('wasm');
  return createRuntime();
});

describe('without its kernels', () => {
  afterAll(() => useReferenceKernels(false));
  describeRuntime('wasm', async () => {
    await startBackend('wasm');
    useReferenceKernels(true);
    return createRuntime();
  }, { quick: true });
});

if (webgpu.available) {
  describeRuntime('webgpu', async () => {
    await startBackend('webgpu');
    return createRuntime();
  }, { quick: true });
} else {
  test('webgpu', ({ skip }) => skip(webgpu.reason));
}

test('each backend has the runtime that it should', async () => {
  await startBackend('cpu');
  expect(createRuntime().path).toBe('reference');
  await startBackend('wasm');
  expect(createRuntime().path).toBe('fused');
  useReferenceKernels(true);
  expect(createRuntime().path).toBe('reference');
  useReferenceKernels(false);
});

import { beforeAll, expect, test } from 'vitest';
import { startBackend } from '../platform/index';
import { checkKernelCase } from '../testing/conformance';
import { kernelCases } from './cases';

// The build for engines without relaxed SIMD. It is chosen when the kernels are loaded, once in a process.
beforeAll(async () => {
  process.env['MIXSGA_RELAXED_SIMD'] = '0';
  const { detail } = await startBackend('wasm');
  expect(detail).toBe('WebAssembly, simd');
});

test.each(kernelCases.map((kernelCase) => [kernelCase.kernel, kernelCase.name, kernelCase] as const))(
  '%s on wasm with plain SIMD: %s',
  async (_kernel, _name, kernelCase) => {
    const report = await checkKernelCase(kernelCase, 'wasm');
    expect(report.fast).toBe(true);
    expect(report.outputs).toEqual({ status: 'passed', nmse: expect.any(Number) });
    if (kernelCase.differentiable) expect(report.gradients).toEqual({ status: 'passed', nmse: expect.any(Number) });
  },
);

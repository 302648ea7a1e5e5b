import { expect, test } from 'vitest';
import { checkKernelCase } from '../testing/conformance';
import { kernelCases } from './cases';

test.each(kernelCases.map((kernelCase) => [kernelCase.kernel, kernelCase.name, kernelCase] as const))(
  '%s on wasm: %s',
  async (_kernel, _name, kernelCase) => {
    const report = await checkKernelCase(kernelCase, 'wasm');
    expect(report.fast).toBe(true);
    expect(report.outputs).toEqual({ status: 'passed', nmse: expect.any(Number) });
    if (kernelCase.differentiable) expect(report.gradients).toEqual({ status: 'passed', nmse: expect.any(Number) });
  },
);

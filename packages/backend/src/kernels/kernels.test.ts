import { describe, expect, test } from 'vitest';
import { describeBackends } from '../platform/index';
import { checkKernelCase } from '../testing/conformance';
import { sample } from '../testing/sample';
import { kernelCases } from './cases';

const backends = await describeBackends();

describe.each(backends)('kernels on $name', ({ name, available, software, reason }) => {
  test.runIf(!available)('can not start here', ({ skip }) => skip(reason));
  if (!available) return;
  // A device that the processor stands in for is slow, and what runs there is the composition of stock operations.
  const cases = software ? sample(kernelCases, 4) : kernelCases;
  test.for(cases.map((kernelCase) => [`${kernelCase.kernel}: ${kernelCase.name}`, kernelCase] as const))(
    '%s',
    async ([, kernelCase]) => {
      const report = await checkKernelCase(kernelCase, name);
      const passed = { status: 'passed', nmse: expect.any(Number) };
      expect(report.outputs).toEqual(passed);
      expect(report.gradients).toEqual(kernelCase.differentiable ? passed : null);
      expect(report.fast).toBe(name === 'wasm');
    },
  );
});

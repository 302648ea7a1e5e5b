import { describe, expect, test } from 'vitest';
import { checkKernelCase } from '../testing/conformance';
import type { KernelCase } from '../testing/kernel-case';
import { cases as adamw } from './adamw/cases';
import { cases as causalAttention } from './causal-attention/cases';
import { cases as embedding } from './embedding/cases';
import { cases as expertChoice } from './expert-choice/cases';
import { cases as groupMean } from './group-mean/cases';
import { cases as layerNorm } from './layer-norm/cases';
import { cases as linearCrossEntropy } from './linear-cross-entropy/cases';
import { cases as linear } from './linear/cases';

const all: Record<string, readonly KernelCase[]> = {
  adamw, causalAttention, embedding, expertChoice, groupMean, layerNorm, linear, linearCrossEntropy,
};

describe.each(Object.entries(all))('%s on wasm', (_, cases) => {
  test.each(cases.map((kernelCase) => [`${kernelCase.kernel}: ${kernelCase.name}`, kernelCase] as const))('%s', async (_, kernelCase) => {
    const report = await checkKernelCase(kernelCase, 'wasm');
    expect(report.fast).toBe(true);
    expect(report.outputs).toEqual({ status: 'passed', nmse: expect.any(Number) });
    if (kernelCase.differentiable) expect(report.gradients).toEqual({ status: 'passed', nmse: expect.any(Number) });
  });
});

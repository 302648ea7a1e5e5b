import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { startBackend } from '../platform/index';
import { SeededRandom } from '../random';
import { gradientsOf, toArray } from '../testing/gradients';
import type { KernelCase } from '../testing/kernel-case';
import { expectNoLeaks } from '../testing/leaks';
import { kernelCases } from './cases';

const examples = lastOfEachKernel(kernelCases.filter(({ kernel }) => kernel !== 'adamwStep'));
const differentiable = lastOfEachKernel(kernelCases.filter((kernelCase) => kernelCase.differentiable));

describe.each(['wasm', 'cpu'] as const)('on %s', (backend) => {
  test.each(examples.map((kernelCase) => [kernelCase.kernel, kernelCase] as const))(
    '%s leaves nothing but its result, outside of tf.tidy too',
    async (_, kernelCase) => {
      await startBackend(backend);
      const inputs = inputsOf(kernelCase);
      // The first call may put constants or working memory aside.
      tf.dispose(kernelCase.run(...inputs));
      await expectNoLeaks(() => tf.dispose(kernelCase.run(...inputs)));
      tf.dispose(inputs);
    },
  );

  test.each(differentiable.map((kernelCase) => [kernelCase.kernel, kernelCase] as const))(
    'the gradient of %s leaves nothing but its result, and is the same every time',
    async (_, kernelCase) => {
      await startBackend(backend);
      const inputs = inputsOf(kernelCase);
      const first = gradientsOf(kernelCase.run, inputs, kernelCase.differentiable!);
      const again = await expectNoLeaks(() => gradientsOf(kernelCase.run, inputs, kernelCase.differentiable!), {
        keeps: first.length,
      });
      first.forEach((gradient, i) => expect(again[i]!.dataSync()).toEqual(gradient.dataSync()));
      tf.dispose([inputs, first, again]);
    },
  );
});

function lastOfEachKernel(cases: readonly KernelCase[]): KernelCase[] {
  return [...new Map(cases.map((kernelCase) => [kernelCase.kernel, kernelCase])).values()];
}

function inputsOf(kernelCase: KernelCase): tf.Tensor[] {
  return tf.tidy(() => toArray(kernelCase.inputs(new SeededRandom(3))));
}

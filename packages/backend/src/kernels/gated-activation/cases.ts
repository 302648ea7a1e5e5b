import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { normal, normalWith } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { gatedActivation } from './op';
import type { GateActivation } from './reference';

const activations: readonly GateActivation[] = ['silu', 'gelu'];
const shapes: readonly { rows: number; size: number }[] = [{ rows: 1, size: 1 }, { rows: 3, size: 5 }, { rows: 16, size: 40 }];

export const cases: KernelCase[] = activations.flatMap((activation): KernelCase[] => [
  ...shapes.map(({ rows, size }): KernelCase => ({
    kernel: 'gatedActivation',
    name: `${activation}, ${rows}x${size}`,
    inputs: (random) => [normal(random, [rows, size], 2), normal(random, [rows, size])],
    run: (gate: Tensor2D, up: Tensor2D) => gatedActivation(gate, up, activation),
    differentiable: [0, 1],
  })),
  {
    kernel: 'gatedActivation',
    name: `${activation}, large numbers and NaN`,
    inputs: (random) => [tf.tensor2d([-1000, -100, -20, 20, 100, 1000, NaN, 0], [2, 4]), normalWith(random, [2, 4], [])],
    run: (gate: Tensor2D, up: Tensor2D) => gatedActivation(gate, up, activation),
  },
]);

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { type GateActivation, gatedActivationReference } from './reference';

/**
 * The gate of a feed-forward (Shazeer 2020): activation(gate)·up.
 *
 * @param gate float32 [rows, size]
 * @param up float32 [rows, size]
 * @returns float32 [rows, size]; differentiable in gate and up
 * @throws ArgumentError when the shapes do not fit
 */
export function gatedActivation(gate: Tensor2D, up: Tensor2D, activation: GateActivation): Tensor2D {
  expectShape('gatedActivation', 'gate', gate, [null, null]);
  expectShape('gatedActivation', 'up', up, gate.shape);
  expectFloats('gatedActivation', { gate, up });
  if (!hasKernel('MixsgaGatedActivation')) return tf.tidy(() => gatedActivationReference(gate, up, activation));
  return withGradient(
    [gate, up],
    (save, [gate, up]) => {
      save([gate!, up!]);
      return runKernel('MixsgaGatedActivation', { gate: gate!, up: up! }, { activation })[0]!;
    },
    (dy, [gate, up]) => runKernel('MixsgaGatedActivationGradient', { gate: gate!, up: up!, dy }, { activation }),
  ) as Tensor2D;
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';

/** `silu`: x·sigmoid(x); `gelu`: its tanh form. */
export type GateActivation = 'silu' | 'gelu';

export function gatedActivationReference(gate: Tensor2D, up: Tensor2D, activation: GateActivation): Tensor2D {
  return tf.mul(activation === 'silu' ? tf.mul(gate, tf.sigmoid(gate)) : gelu(gate), up);
}

function gelu(x: Tensor2D): Tensor2D {
  const cube = tf.mul(tf.mul(x, x), x);
  const inner = tf.mul(tf.add(x, tf.mul(cube, 0.044715)), Math.sqrt(2 / Math.PI));
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
}

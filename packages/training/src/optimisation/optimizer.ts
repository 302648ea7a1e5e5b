import { adamwStep } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled weight decay, applied to tensors of rank 2 and more: biases and norms are left alone. */
  weightDecay: number;
}

/**
 * AdamW over named parameters. Owns its two moments of each parameter; the parameters stay the caller's
 * and are written in place.
 */
export class AdamW {
  private readonly moments = new Map<string, { m: tf.Variable; v: tf.Variable }>();

  constructor(
    private readonly parameters: ReadonlyMap<string, tf.Variable>,
    private readonly options: AdamWOptions,
  ) {
    for (const [name, parameter] of parameters) {
      this.moments.set(name, { m: zerosLike(parameter), v: zerosLike(parameter) });
    }
  }

  /**
   * One update. A parameter without a gradient (its name is not in `gradients`) is left as it is.
   *
   * @param gradients by parameter name; read, not disposed.
   * @param gradientScale factor on every gradient: 1 / accumulated batches, times the clipping.
   * @param step 1-based, for the bias correction.
   */
  apply(gradients: ReadonlyMap<string, tf.Tensor>, learningRate: number, gradientScale: number, step: number): void {
    for (const [name, gradient] of gradients) {
      const parameter = this.parameters.get(name)!;
      const { m, v } = this.moments.get(name)!;
      adamwStep(parameter, gradient, m, v, {
        learningRate,
        beta1: this.options.beta1,
        beta2: this.options.beta2,
        epsilon: this.options.epsilon,
        weightDecay: parameter.rank >= 2 ? this.options.weightDecay : 0,
        step,
        gradientScale,
      });
    }
  }

  /** The moments as `m.<parameter>` and `v.<parameter>`: the variables themselves, not copies. */
  state(): Map<string, tf.Variable> {
    const state = new Map<string, tf.Variable>();
    for (const [name, { m, v }] of this.moments) {
      state.set(`m.${name}`, m);
      state.set(`v.${name}`, v);
    }
    return state;
  }

  dispose(): void {
    for (const { m, v } of this.moments.values()) {
      m.dispose();
      v.dispose();
    }
    this.moments.clear();
  }
}

/** The factor that brings gradients of the given global norm under `limit`: 1 when they are under it already. */
export function clippingFactor(norm: number, limit: number): number {
  return norm > limit ? limit / norm : 1;
}

function zerosLike(parameter: tf.Variable): tf.Variable {
  return tf.tidy(() => tf.variable(tf.zeros(parameter.shape), false));
}

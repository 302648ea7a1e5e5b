import { ArgumentError, expectBackend, linear, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { RouterOptions, RouterSizes } from './router';
import { ROUTER_STREAM } from './stream';

/** What a linear router stores. */
export function linearParameters({ hiddenSize, experts }: RouterSizes): { weight: number[]; bias: number[] } {
  return { weight: [experts, hiddenSize], bias: [experts] };
}

/** The variables of a linear router, and the scores that they give. */
export interface LinearScores {
  /** [E, D], the transpose of the paper's φ. */
  readonly weight: tf.Variable<tf.Rank.R2>;
  /** [E] */
  readonly bias: tf.Variable<tf.Rank.R1>;
  /** float32 [B, T, D] to [B, T, E] */
  score(x: Tensor3D): Tensor3D;
  dispose(): void;
}

/**
 * S(x) = sigmoid(x φ + β) (paper section 3.2).
 *
 * @param options checked by {@link validateRouterOptions}
 * @param start where no weights are given: β, and the standard deviation of φ, which is normal, over the sqrt(2/D) of He et al. 2015
 * @param trainableBias whether β is for an optimizer to train
 * @throws ArgumentError when the given weights do not fit
 */
export function linearScores(
  options: RouterOptions, start: { bias: Float32Array; scale: number }, { trainableBias }: { trainableBias: boolean },
): LinearScores {
  const { hiddenSize, ratios } = options;
  const experts = ratios.length;
  const [rows, size] = [[experts, hiddenSize], [experts]] as [[number, number], [number]];
  const weight = storedVariable<tf.Rank.R2>('weight', options.weights?.weight ?? normal(options, start.scale), rows, true);
  const bias = storedVariable<tf.Rank.R1>('bias', options.weights?.bias ?? start.bias, size, trainableBias);
  return {
    weight,
    bias,
    score(x) {
      const [batch, length] = x.shape;
      return tf.tidy(() => {
        const logits = linear(tf.reshape(x, [batch * length, hiddenSize]), weight, bias);
        return tf.reshape(tf.sigmoid(logits), [batch, length, experts]);
      });
    },
    dispose() {
      weight.dispose();
      bias.dispose();
    },
  };
}

function normal({ hiddenSize, ratios, seed, layer }: RouterOptions, scale: number): Float32Array {
  const random = new SeededRandom(seed, ROUTER_STREAM, layer);
  const deviation = scale * Math.sqrt(2 / hiddenSize);
  return Float32Array.from({ length: ratios.length * hiddenSize }, () => deviation * random.normal());
}

/**
 * A variable with a copy of some values: optimizers write in place.
 * @throws ArgumentError when they are not of its shape; BackendError when no backend is started
 */
export function storedVariable<R extends tf.Rank>(
  name: string, values: Float32Array, shape: tf.ShapeMap[R], trainable: boolean,
): tf.Variable<R> {
  expectBackend('createRouter');
  if (values.length !== tf.util.sizeFromShape(shape)) {
    throw new ArgumentError(
      `createRouter: expected ${name} of ${shape.join(' x ')} values, got ${values.length}; check the ratios and hiddenSize`,
    );
  }
  return tf.tidy(() => tf.variable(tf.tensor<R>(values.slice(), shape), trainable));
}

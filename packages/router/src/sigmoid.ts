import { ArgumentError, expertChoice, linear, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { argMaxExpert } from './arg-max';
import { consistencyLoss } from './consistency-loss';
import { validateRouterOptions, type Router, type RouterOptions } from './router';
import { ROUTER_STREAM } from './stream';

/**
 * The paper's router (section 3.2): S(x) = sigmoid(x φ + β), φ He-normal (std sqrt(2/D)), β zeros; decoding takes the
 * arg max, ties to the lower expert. Neither decision passes a gradient, so it learns from the consistency loss alone.
 *
 * `trainable` has `weight` [E, D], the transpose of φ, and `bias` [E].
 *
 * @throws ArgumentError when the options or the given weights do not fit
 */
export function sigmoidRouter(options: RouterOptions): Router {
  validateRouterOptions(options);
  const { hiddenSize, ratios } = options;
  const experts = ratios.length;
  const weight = parameter<tf.Rank.R2>('weight', options.weights?.weight ?? heNormal(options), [experts, hiddenSize]);
  const bias = parameter<tf.Rank.R1>('bias', options.weights?.bias ?? new Float32Array(experts), [experts]);

  return {
    experts,
    trainable: { weight, bias },
    linear: { weight, bias },
    score(x) {
      const [batch, length] = x.shape;
      return tf.tidy(() => {
        const logits = linear(tf.reshape(x, [batch * length, hiddenSize]), weight, bias);
        return tf.reshape(tf.sigmoid(logits), [batch, length, experts]);
      });
    },
    assign: (scores, mask) => expertChoice(scores, ratios, mask),
    decode: argMaxExpert,
    loss: consistencyLoss,
    dispose() {
      weight.dispose();
      bias.dispose();
    },
  };
}

function heNormal({ hiddenSize, ratios, seed, layer }: RouterOptions): Float32Array {
  const random = new SeededRandom(seed, ROUTER_STREAM, layer);
  const deviation = Math.sqrt(2 / hiddenSize);
  return Float32Array.from({ length: ratios.length * hiddenSize }, () => deviation * random.normal());
}

function parameter<R extends tf.Rank>(name: string, values: Float32Array, shape: tf.ShapeMap[R]): tf.Variable<R> {
  if (values.length !== tf.util.sizeFromShape(shape)) {
    throw new ArgumentError(
      `sigmoidRouter: expected ${name} of ${shape.join(' x ')} values, got ${values.length}; check the ratios and hiddenSize`,
    );
  }
  // The copy is what the variable owns: optimizers write in place.
  return tf.tidy(() => tf.variable(tf.tensor<R>(values.slice(), shape)));
}

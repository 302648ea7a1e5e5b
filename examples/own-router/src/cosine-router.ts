import { expertChoice, SeededRandom } from '@mixsga/backend';
import { argMaxExpert, consistencyLoss, type Router, type RouterOptions, validateRouterOptions } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';

/** What cosines are multiplied by, so that a softmax over them can be sure. */
const SHARPNESS = 5;

/**
 * Scores a token by the cosine of its hidden state to a direction of each expert, plus a bias. Decisions are those of the paper's router.
 * @throws ArgumentError when the options do not fit
 */
export function cosineRouter(options: RouterOptions): Router {
  validateRouterOptions(options);
  const { hiddenSize, ratios, seed, layer, weights } = options;
  const experts = ratios.length;
  const random = new SeededRandom(seed, layer);
  const drawn = () => Float32Array.from({ length: experts * hiddenSize }, () => random.normal());
  const weight = tf.tidy(() => tf.variable(tf.tensor2d(weights?.weight?.slice() ?? drawn(), [experts, hiddenSize])));
  const bias = tf.tidy(() => tf.variable(tf.tensor1d(weights?.bias?.slice() ?? new Float32Array(experts))));
  const unit = (x: Tensor, axis: number) => tf.div(x, tf.sqrt(tf.add(tf.sum(tf.square(x), axis, true), 1e-12)));
  return {
    experts,
    causal: false,
    trainable: { weight, bias },
    buffers: {},
    score: (x) => tf.tidy(() => {
      const [batch, length] = x.shape;
      const cosines = tf.matMul(unit(tf.reshape(x, [batch * length, hiddenSize]), 1), unit(weight, 1), false, true);
      return tf.reshape(tf.mul(tf.add(cosines, bias), SHARPNESS), [batch, length, experts]) as Tensor3D;
    }),
    assign: (scores, mask) => expertChoice(scores, ratios, mask),
    decode: argMaxExpert,
    loss: consistencyLoss,
    dispose: () => tf.dispose([weight, bias]),
  };
}

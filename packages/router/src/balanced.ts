import * as tf from '@tensorflow/tfjs-core';
import { argMaxExpert, argMaxOfReal } from './arg-max';
import { balancingShift, expectRate, NEVER } from './balance';
import { logOdds } from './gates';
import { linearScores } from './linear-scores';
import { validateRouterOptions, type Router, type RouterOptions } from './router';

/** Size of φ at the start, over that of the paper's router: small, so that what is learned soon outweighs what was drawn. */
const START = 0.1;

/**
 * A router that is causal by construction: in training and prefill, too, a token goes to the arg max of its own scores
 * S(x) = sigmoid(x φ + β), ties to the lower expert. What holds the capacity ratios is β, which no gradient changes: after each step
 * it moves towards the bias under which the step's tokens would have been shared exactly at the ratios ({@link balancingShift}).
 * Balancing by a bias without a loss is Wang et al.'s (arXiv 2408.15664), who move it by a fixed step and the sign of the excess.
 *
 * φ starts normal, a tenth of the paper's. `trainable` has `weight` [E, D], the transpose of φ, `buffers` has `bias` [E], the β. The loss is 0: φ learns from an estimator of
 * the gradient through the experts (`softGates`), and stays a random projection without one.
 *
 * @throws ArgumentError when the options or the given weights do not fit
 */
export function balancedRouter(options: RouterOptions): Router {
  validateRouterOptions(options);
  const { ratios } = options;
  const start = { bias: Float32Array.from(ratios, (ratio) => (ratio > 0 ? 0 : NEVER)), scale: START };
  const { weight, bias, score, dispose } = linearScores(options, start, { trainableBias: false });
  return {
    experts: ratios.length,
    causal: true,
    trainable: { weight },
    buffers: { bias },
    linear: { weight, bias },
    score,
    assign: argMaxOfReal,
    decode: argMaxExpert,
    loss: () => tf.scalar(0),
    async balance(scores, rate) {
      expectRate(rate);
      const shift = balancingShift(scores.map(logOdds), ratios);
      tf.tidy(() => bias.assign(tf.add(bias, shift.map((each) => rate * each))));
    },
    dispose,
  };
}

balancedRouter.description = 'a projection of the hidden state and a bias for each expert, which is moved after each step so that the ratios are kept; it has no consistency loss and does not read later tokens';

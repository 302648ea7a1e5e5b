import { expectBackend, expertChoice, linear, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { validateRouterOptions, type Router, type RouterOptions } from './router';
import { ROUTER_STREAM } from './stream';

/**
 * Length of the random projections. Hidden states that differ by a few hundredths get unrelated draws, while rounding
 * differences of 1e-6, as between a token computed in a batch and the same token alone, move a draw by 1e-4 at most.
 */
const SCRAMBLE = 64;

/**
 * The baseline router of the paper's ablation (its Table 6): experts are drawn at the capacity ratios, whatever the
 * token means. Prefill and training take exactly the ratios, by expert choice over random scores; decoding draws each
 * token's expert alone, independently of prefill, so that both agree with probability Σ ρ_e².
 *
 * A draw is a hash of the token's hidden state, the fraction of a long random projection, uniform in [0, 1). So
 * draws are seeded and need no state: a resumed run, another batch or a token decoded alone get the same ones.
 * Nothing is learned: `trainable` is empty and the loss 0.
 *
 * @throws ArgumentError when the options do not fit
 */
export function randomRouter(options: RouterOptions): Router {
  validateRouterOptions(options);
  expectBackend('createRouter');
  const { hiddenSize, ratios, seed, layer } = options;
  const experts = ratios.length;
  const random = new SeededRandom(seed, ROUTER_STREAM, layer);
  const deviation = SCRAMBLE / Math.sqrt(hiddenSize);
  const projection = tf.keep(
    tf.tensor2d(
      Float32Array.from({ length: experts * hiddenSize }, () => deviation * random.normal()),
      [experts, hiddenSize],
    ),
  );
  const thresholds = decodeThresholds(ratios);

  return {
    experts,
    causal: false,
    trainable: {},
    buffers: {},
    score(x) {
      const [batch, length] = x.shape;
      return tf.tidy(() => {
        const phase = linear(tf.reshape(x, [batch * length, hiddenSize]), projection, null);
        return tf.reshape(tf.sub(phase, tf.floor(phase)), [batch, length, experts]);
      });
    },
    assign: (scores, mask) => expertChoice(scores, ratios, mask),
    decode(scores) {
      const [batch, length] = scores.shape;
      return tf.tidy(() => {
        // Expert choice never reads the last expert's scores (it takes what remains), so they are free for this draw.
        const draw = tf.slice(scores, [0, 0, experts - 1], [batch, length, 1]);
        return tf.sum(tf.cast(tf.greaterEqual(draw, thresholds), 'int32'), 2) as Tensor2D;
      });
    },
    loss: () => tf.scalar(0),
    dispose: () => projection.dispose(),
  };
}

randomRouter.parameters = () => ({});
randomRouter.description = 'chance alone: an ablation, which tells what the learned choice is worth';

/** A draw belongs to the expert whose index is the number of thresholds it reaches: the ratios summed up, but the last. */
function decodeThresholds(ratios: readonly number[]): number[] {
  let sum = 0;
  // A sum of all is out of reach (a draw can round to 1), so that later experts of ratio 0 get nothing.
  return ratios.map((ratio) => ((sum += ratio) > 1 - 1e-6 ? 2 : sum));
}

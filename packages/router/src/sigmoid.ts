import { expertChoice } from '@mixsga/backend';
import { argMaxExpert } from './arg-max';
import { consistencyLoss } from './consistency-loss';
import { linearScores } from './linear-scores';
import { validateRouterOptions, type Router, type RouterOptions } from './router';

/**
 * The paper's router (section 3.2): S(x) = sigmoid(x φ + β), φ He-normal (std sqrt(2/D)), β zeros; decoding takes the
 * arg max, ties to the lower expert. Neither decision passes a gradient, so it learns from the consistency loss alone,
 * unless the experts are mixed with an estimator of that gradient (`softGates`).
 *
 * `trainable` has `weight` [E, D], the transpose of φ, and `bias` [E].
 *
 * @throws ArgumentError when the options or the given weights do not fit
 */
export function sigmoidRouter(options: RouterOptions): Router {
  validateRouterOptions(options);
  const { ratios } = options;
  const start = { bias: new Float32Array(ratios.length), scale: 1 };
  const { weight, bias, score, dispose } = linearScores(options, start, { trainableBias: true });
  return {
    experts: ratios.length,
    causal: false,
    trainable: { weight, bias },
    buffers: {},
    linear: { weight, bias },
    score,
    assign: (scores, mask) => expertChoice(scores, ratios, mask),
    decode: argMaxExpert,
    loss: consistencyLoss,
    dispose,
  };
}

sigmoidRouter.description = "a learned projection of the token's hidden state, trained by the consistency loss to foresee the choice of the experts (the router of the paper)";

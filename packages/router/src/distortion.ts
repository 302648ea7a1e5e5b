import { ArgumentError } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { argMaxExpert, argMaxOfReal } from './arg-max';
import { balancingShift, expectRate, NEVER } from './balance';
import { storedVariable } from './linear-scores';
import { validateRouterOptions, type Router, type RouterOptions, type RouterSizes } from './router';

/**
 * A router that gives a token to the expert that loses least of it, as rate–distortion theory divides a budget (Shoham and Gersho 1988):
 * arg min of D(e) + λ(e), where D(e) = ‖k − k̂‖² / E‖k‖² + ‖v − v̂‖² / E‖v‖² is the squared error of the token's keys and values under
 * expert e, relative to what those of the layer's tokens have in the mean, and λ is the price of an expert, which holds the capacity
 * ratios. A score is what expert e saves over the last one less its price. Causal by construction; nothing is trained, and the loss is 0.
 *
 * `buffers` has `energy` [2], the two means, and `bias` [E], −λ. Both are constants in inference; {@link Router.balance} moves them to
 * those of the tokens that it is given. They start at 1 and 0: balance a new router before it decides.
 *
 * @throws ArgumentError when the options or the given weights do not fit
 */
export function distortionRouter(options: RouterOptions): Router {
  validateRouterOptions(options);
  const { ratios, weights } = options;
  const experts = ratios.length;
  const start = Float32Array.from(ratios, (ratio) => (ratio > 0 ? 0 : NEVER));
  const energy = storedVariable<tf.Rank.R1>('energy', weights?.energy ?? Float32Array.of(1, 1), [2], false);
  const bias = storedVariable<tf.Rank.R1>('bias', weights?.bias ?? start, [experts], false);

  return {
    experts,
    causal: true,
    trainable: {},
    buffers: { energy, bias },
    distortion: { energy, bias },
    score(x) {
      const [batch, length, width] = x.shape;
      expectWidth(width, experts);
      return tf.tidy(() => {
        const seen = tf.reshape(x, [batch * length, width]) as Tensor2D;
        const errorsOf = (kind: number) =>
          tf.div<Tensor>(tf.slice(seen, [0, kind * (experts + 1) + 1], [batch * length, experts]), tf.slice(energy, kind, 1));
        const distortion = tf.add(errorsOf(0), errorsOf(1)); // [tokens, E]
        const saved = tf.sub(tf.slice(distortion, [0, experts - 1], [batch * length, 1]), distortion);
        return tf.reshape(tf.add(saved, bias), [batch, length, experts]) as Tensor3D;
      });
    },
    assign: argMaxOfReal,
    decode: argMaxExpert,
    loss: () => tf.scalar(0),
    async balance(seen, rate) {
      expectRate(rate);
      const width = 2 * (experts + 1);
      const tokens = seen.length / width;
      if (!Number.isInteger(tokens) || tokens === 0 || !seen.every(Number.isFinite)) {
        throw new ArgumentError(`balance: expected ${width} finite numbers for each token, got ${seen.length}`);
      }
      const [before, prices] = [await energy.data<'float32'>(), await bias.data<'float32'>()];
      const energies = before.map((old, kind) => Math.max(LEAST_ENERGY, old + rate * (meanOf(seen, kind * (experts + 1), width) - old)));
      const scores = Float32Array.from({ length: tokens * experts }, (_, i) => {
        const at = Math.floor(i / experts) * width;
        const distortion = (e: number) => seen[at + 1 + e]! / energies[0]! + seen[at + experts + 2 + e]! / energies[1]!;
        return distortion(experts - 1) - distortion(i % experts) + prices[i % experts]!;
      });
      const shift = balancingShift(scores, ratios);
      tf.tidy(() => {
        energy.assign(tf.tensor1d(energies));
        bias.assign(tf.tensor1d(prices.map((old, e) => old + rate * shift[e]!)));
      });
    },
    dispose: () => tf.dispose([energy, bias]),
  };
}

distortionRouter.parameters = ({ experts }: RouterSizes) => ({ energy: [2], bias: [experts] });
distortionRouter.description = "what each expert would lose of the token's keys and values; nothing in it is trained, and it does not read later tokens";

/** Mean of keys, or values, that are 0: nothing is lost of them. */
const LEAST_ENERGY = 1e-30;

function meanOf(rows: Float32Array, column: number, width: number): number {
  let sum = 0;
  for (let at = column; at < rows.length; at += width) sum += rows[at]!;
  return (sum * width) / rows.length;
}

function expectWidth(width: number, experts: number): void {
  if (width === 2 * (experts + 1)) return;
  throw new ArgumentError(`distortionRouter: expected ${2 * (experts + 1)} numbers for each token, of ${experts} experts, got ${width}`);
}

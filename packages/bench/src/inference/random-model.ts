import { SeededRandom } from '@mixsga/backend';
import { convertModel, createTrainable, type OptConfig, parameterSpecs, parseAttention } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import { type ModelShape, optConfig } from '../model-shape';

/** A model of an attention variant, not yet on a backend. */
export interface RandomModel {
  attention: string;
  config: OptConfig;
  values: ReadonlyMap<string, Float32Array>;
}

/** Tokens whose hidden states the routers' biases are set by. */
const CALIBRATION_TOKENS = 512;
const CALIBRATION_WINDOW = 64;

/**
 * Models with the same random weights under several attention variants, whose routers give single tokens to their experts
 * in the asked ratios. Runs a model with routers once on the active backend, whose tensors have to be readable at once.
 *
 * @param positions tokens that a sequence can have
 */
export async function randomModels(shape: ModelShape, attentions: readonly string[], positions: number): Promise<RandomModel[]> {
  const config = optConfig(shape, 'mha', positions);
  const values = randomValues(config);
  const models: RandomModel[] = [];
  for (const attention of attentions) models.push(await modelOf(attention));
  return models;

  async function modelOf(attention: string): Promise<RandomModel> {
    if (attention === 'mha') return { attention, config, values };
    const variant = parseAttention(attention);
    if (!variant.experts) return { attention, ...convertModel(config, values, attention) };
    const routed = optConfig(shape, attention, positions);
    return { attention, config: routed, values: new Map([...values, ...(await calibratedRouters(routed, values, variant.experts.ratiosOf))]) };
  }
}

/**
 * Uniform weights of the usual deviation, but embeddings of deviation 1 and no positions, so that hidden states and with
 * them the routing follow the token and not where it stands.
 */
function randomValues(config: OptConfig): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  parameterSpecs(config, parseAttention('mha')).forEach(({ name, shape, start }, stream) => {
    const array = new Float32Array(tf.util.sizeFromShape(shape));
    if (start === 'ones') array.fill(1);
    if (start === 'normal' && !name.includes('embed_positions')) {
      fillUniform(array, name.includes('embed_tokens') ? 1 : config.init_std, new SeededRandom(0, stream));
    }
    values.set(name, array);
  });
  return values;
}

/** Fills an array with uniform numbers of mean 0: a billion in seconds, by xorshift32. */
export function fillUniform(array: Float32Array, deviation: number, random: SeededRandom): void {
  const scale = (deviation * Math.sqrt(12)) / 2 ** 32;
  let state = 1 + random.nextInt(2 ** 32 - 1);
  for (let i = 0; i < array.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    array[i] = state * scale;
  }
}

/** Random routers by parameter name, each with the biases that give its experts their shares of random tokens. */
async function calibratedRouters(
  config: OptConfig, values: ReadonlyMap<string, Float32Array>, ratiosOf: (layer: number) => readonly number[],
): Promise<Map<string, Float32Array>> {
  const model = await createTrainable(config, values);
  try {
    const random = new SeededRandom(1);
    const window = Math.min(CALIBRATION_WINDOW, config.max_position_embeddings);
    const batch = Math.ceil(CALIBRATION_TOKENS / window);
    const ids = Int32Array.from({ length: batch * window }, () => random.nextInt(config.vocab_size));
    const scores = tf.tidy(() =>
      model.routingOf(tf.tensor2d(ids, [batch, window]), { routing: 'decode' }).map((layer) => layer.scores.dataSync<'float32'>()),
    );
    const routers = new Map<string, Float32Array>();
    let layer = 0;
    for (const [name, variable] of model.parameters()) {
      if (name.endsWith('.router.weight')) routers.set(name, variable.dataSync<'float32'>().slice());
      if (name.endsWith('.router.bias')) routers.set(name, biasesFor(ratiosOf(layer), scores[layer++]!));
    }
    return routers;
  } finally {
    model.dispose();
  }
}

/**
 * Biases b with which arg max (z + b) gives every expert its share of the tokens, z being the scores before the sigmoid.
 * @param scores [tokens, experts], after the sigmoid
 */
export function biasesFor(ratios: readonly number[], scores: Float32Array): Float32Array {
  const experts = ratios.length;
  const logits = scores.map((score) => Math.log(score / (1 - score)));
  const biases = new Float32Array(experts);
  for (let round = 0; round < 300; round++) {
    const shares = sharesOf(logits, biases);
    const step = 4 / (1 + round / 10);
    for (let e = 0; e < experts; e++) biases[e]! += step * (ratios[e]! - shares[e]!);
  }
  return biases;
}

function sharesOf(logits: Float32Array, biases: Float32Array): number[] {
  const shares = new Array<number>(biases.length).fill(0);
  const tokens = logits.length / biases.length;
  for (let t = 0; t < tokens; t++) {
    let best = 0;
    for (let e = 1; e < biases.length; e++) {
      if (logits[t * biases.length + e]! + biases[e]! > logits[t * biases.length + best]! + biases[best]!) best = e;
    }
    shares[best]! += 1 / tokens;
  }
  return shares;
}

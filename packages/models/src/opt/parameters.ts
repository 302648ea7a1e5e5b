import * as tf from '@tensorflow/tfjs-core';
import { SeededRandom } from '@mixsga/backend';
import type { AttentionVariant } from '../attention/variant';
import type { OptConfig } from '../config/opt';
import type { ParameterSpec } from '../decoder/family';

/** Rows of the position table that OPT leaves unused: position t is row t + 2. */
export const POSITION_OFFSET = 2;

/** How a parameter starts: 'normal' with the config's init_std, 'ones' or 'zeros'. */
type Start = 'normal' | 'ones' | 'zeros';

export interface OptParameterSpec extends ParameterSpec {
  readonly start: Start;
}

export const layerName = (layer: number): string => `model.decoder.layers.${layer}`;

/** The form that normalises after each block needs no norm in the end. */
export function hasLastNorm(config: OptConfig): boolean {
  return config.do_layer_norm_before && !config._remove_final_layer_norm;
}

/** Every parameter of the transformer in the order of the forward pass; routers keep their own. */
export function parameterSpecs(config: OptConfig, attention: AttentionVariant): OptParameterSpec[] {
  const width = config.hidden_size;
  const headDim = width / config.num_attention_heads;
  const kvWidth = attention.storedKvHeads(config.num_attention_heads) * headDim;
  const specs: OptParameterSpec[] = [];
  const matrix = (name: string, outputs: number, inputs: number) =>
    specs.push({ name: `${name}.weight`, shape: [outputs, inputs], start: 'normal' });
  const linear = (name: string, outputs: number, inputs: number) => {
    matrix(name, outputs, inputs);
    specs.push({ name: `${name}.bias`, shape: [outputs], start: 'zeros' });
  };
  const norm = (name: string) => {
    specs.push({ name: `${name}.weight`, shape: [width], start: 'ones' });
    specs.push({ name: `${name}.bias`, shape: [width], start: 'zeros' });
  };
  const embedding = config.word_embed_proj_dim;
  matrix('model.decoder.embed_tokens', config.vocab_size, embedding);
  matrix('model.decoder.embed_positions', config.max_position_embeddings + POSITION_OFFSET, width);
  if (embedding !== width) matrix('model.decoder.project_in', width, embedding);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = layerName(layer);
    norm(`${at}.self_attn_layer_norm`);
    linear(`${at}.self_attn.q_proj`, width, width);
    if (attention.kvSource(layer) === layer) {
      linear(`${at}.self_attn.k_proj`, kvWidth, width);
      linear(`${at}.self_attn.v_proj`, kvWidth, width);
    }
    linear(`${at}.self_attn.out_proj`, width, width);
    norm(`${at}.final_layer_norm`);
    linear(`${at}.fc1`, config.ffn_dim, width);
    linear(`${at}.fc2`, width, config.ffn_dim);
  }
  if (hasLastNorm(config)) norm('model.decoder.final_layer_norm');
  if (embedding !== width) matrix('model.decoder.project_out', embedding, width);
  return specs;
}

/** Random values for every parameter; parameter i draws from stream i of the seed. */
export function randomParameters(
  config: OptConfig,
  attention: AttentionVariant,
  seed: number,
): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  parameterSpecs(config, attention).forEach(({ name, shape, start }, stream) => {
    const array = new Float32Array(tf.util.sizeFromShape(shape));
    if (start === 'ones') array.fill(1);
    if (start === 'normal') {
      const random = new SeededRandom(seed, stream);
      for (let i = 0; i < array.length; i++) array[i] = random.normal() * config.init_std;
    }
    values.set(name, array);
  });
  return values;
}

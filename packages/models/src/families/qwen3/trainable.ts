// Qwen 3 (Qwen Team 2025) for training: a Llama whose queries and keys are normalised head by head before they rotate.
import { embedding, rmsNorm } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { Qwen3Config } from './config';
import { rotaryFrequencies } from '../../config/rope';
import { type DifferentiableTransformer, rmsNormOfParts, type Variables } from '../../training/transformer';
import { trainableFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';

export function trainableQwen3(config: Qwen3Config, variables: Variables): DifferentiableTransformer {
  const { head_dim: headDim, rms_norm_eps: epsilon } = config;
  const norm = (name: string, x: Tensor2D) => rmsNorm(x, variables.vector(name), epsilon);
  const headNorm = (name: string, x: Tensor2D) => rmsNormOfParts(x, variables.vector(name), epsilon);
  const frequencies = rotaryFrequencies(config, headDim);
  return {
    scale: headDim ** -0.5,
    frequencies: () => frequencies,
    window: (layer) => (config.layer_types[layer] === 'sliding_attention' ? config.sliding_window : null),
    head: config.tie_word_embeddings ? 'model.embed_tokens' : 'lm_head',

    embed: (ids) => embedding(variables.matrix('model.embed_tokens'), tf.reshape(ids, [ids.size])),

    startLayer: (layer, x) => norm(`${layerName(layer)}.input_layernorm`, x),
    queries: (layer, q) => headNorm(`${layerName(layer)}.self_attn.q_norm`, q),
    keys: (layer, k) => headNorm(`${layerName(layer)}.self_attn.k_norm`, k),

    finishLayer(layer, x, attended) {
      const at = layerName(layer);
      const between = tf.add<Tensor2D>(x, variables.linear(`${at}.self_attn.o_proj`, attended));
      const normed = norm(`${at}.post_attention_layernorm`, between);
      return tf.add<Tensor2D>(between, trainableFeedForward(variables, at, normed, 'silu'));
    },

    lastHidden: (x) => norm('model.norm', x),
  };
}

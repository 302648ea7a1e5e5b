// OLMo 2 (OLMo Team 2024) for training: norms after each block and none before, queries and keys normalised over all heads, SwiGLU.
import { embedding, rmsNorm } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { Olmo2Config } from './config';
import { rotaryFrequencies } from '../../config/rope';
import type { DifferentiableTransformer, Variables } from '../../training/transformer';
import { trainableFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';

export function trainableOlmo2(config: Olmo2Config, variables: Variables): DifferentiableTransformer {
  const { head_dim: headDim, rms_norm_eps: epsilon } = config;
  const norm = (name: string, x: Tensor2D) => rmsNorm(x, variables.vector(name), epsilon);
  const frequencies = rotaryFrequencies(config, headDim);
  return {
    scale: headDim ** -0.5,
    frequencies: () => frequencies,
    window: () => null,
    head: config.tie_word_embeddings ? 'model.embed_tokens' : 'lm_head',

    embed: (ids) => embedding(variables.matrix('model.embed_tokens'), tf.reshape(ids, [ids.size])),

    startLayer: (_layer, x) => x,
    queries: (layer, q) => norm(`${layerName(layer)}.self_attn.q_norm`, q),
    keys: (layer, k) => norm(`${layerName(layer)}.self_attn.k_norm`, k),

    finishLayer(layer, x, attended) {
      const at = layerName(layer);
      const block = variables.linear(`${at}.self_attn.o_proj`, attended);
      const between = tf.add<Tensor2D>(x, norm(`${at}.post_attention_layernorm`, block));
      const outer = trainableFeedForward(variables, at, between, 'silu');
      return tf.add<Tensor2D>(between, norm(`${at}.post_feedforward_layernorm`, outer));
    },

    lastHidden: (x) => norm('model.norm', x),
  };
}

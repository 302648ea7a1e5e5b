// Gemma 2 (Gemma Team 2024) for training: norms before and after each block, soft caps, a sliding window in every other layer.
import { embedding, rmsNorm } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { Gemma2Config } from './config';
import { rotaryFrequencies } from '../../config/rope';
import { trainableFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';
import type { DifferentiableTransformer, Variables } from '../../training/transformer';
import { embeddingFactor } from './parameters';

const TOKENS = 'model.embed_tokens';

export function trainableGemma2(config: Gemma2Config, variables: Variables): DifferentiableTransformer {
  const { attn_logit_softcapping: softCap, final_logit_softcapping: logitCap, rms_norm_eps: epsilon } = config;
  const factor = embeddingFactor(config);
  // Gains are stored as what they differ from 1 by.
  const norm = (name: string, x: Tensor2D) => rmsNorm(x, tf.add(variables.vector(name), 1), epsilon);
  const frequencies = rotaryFrequencies(config, config.head_dim);
  return {
    scale: config.query_pre_attn_scalar ** -0.5,
    ...(softCap === null ? {} : { softCap }),
    frequencies: () => frequencies,
    window: (layer) => (config.layer_types[layer] === 'sliding_attention' ? config.sliding_window : null),
    head: TOKENS, // tied
    ...(logitCap === null ? {} : { logitCap }),

    embed: (ids) => tf.mul(embedding(variables.matrix(TOKENS), tf.reshape(ids, [ids.size])), factor),

    startLayer: (layer, x) => norm(`${layerName(layer)}.input_layernorm`, x),

    finishLayer(layer, x, attended) {
      const at = layerName(layer);
      const block = variables.linear(`${at}.self_attn.o_proj`, attended);
      const between = tf.add<Tensor2D>(x, norm(`${at}.post_attention_layernorm`, block));
      const normed = norm(`${at}.pre_feedforward_layernorm`, between);
      const outer = trainableFeedForward(variables, at, normed, 'gelu');
      return tf.add<Tensor2D>(between, norm(`${at}.post_feedforward_layernorm`, outer));
    },

    lastHidden: (x) => norm('model.norm', x),
  };
}

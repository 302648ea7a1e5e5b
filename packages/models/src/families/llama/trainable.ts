// Llama (Touvron et al. 2023; Llama 3, Grattafiori et al. 2024) for training: RMSNorm, rotary positions, SwiGLU.
import { embedding, rmsNorm } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { LlamaConfig } from './config';
import { rotaryFrequencies } from '../../config/rope';
import type { DifferentiableTransformer, Variables } from '../../training/transformer';
import { trainableFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';

export function trainableLlama(config: LlamaConfig, variables: Variables): DifferentiableTransformer {
  const { head_dim: headDim, rms_norm_eps: epsilon } = config;
  const norm = (name: string, x: Tensor2D) => rmsNorm(x, variables.vector(name), epsilon);
  const frequencies = rotaryFrequencies(config, headDim);
  return {
    scale: headDim ** -0.5,
    frequencies: () => frequencies,
    window: () => null,
    head: config.tie_word_embeddings ? 'model.embed_tokens' : 'lm_head',

    embed: (ids) => embedding(variables.matrix('model.embed_tokens'), tf.reshape(ids, [ids.size])),

    startLayer: (layer, x) => norm(`${layerName(layer)}.input_layernorm`, x),

    finishLayer(layer, x, attended) {
      const at = layerName(layer);
      const between = tf.add<Tensor2D>(x, variables.linear(`${at}.self_attn.o_proj`, attended));
      const normed = norm(`${at}.post_attention_layernorm`, between);
      return tf.add<Tensor2D>(between, trainableFeedForward(variables, at, normed, 'silu'));
    },

    lastHidden: (x) => norm('model.norm', x),
  };
}

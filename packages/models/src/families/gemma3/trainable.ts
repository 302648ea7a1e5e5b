// Gemma 3 (Gemma Team 2025) for training: as Gemma 2, with queries and keys normalised head by head instead of a cap on scores, and
// another rotary base in layers that slide.
import { embedding, rmsNorm } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { Gemma3Config } from './config';
import { type DifferentiableTransformer, rmsNormOfParts, type Variables } from '../../training/transformer';
import { trainableFeedForward } from '../gated-feed-forward';
import { layerName } from '../gated-layers';
import { embeddingFactor } from '../gemma2/parameters';
import { frequenciesOf, windowOf } from './parameters';

const TOKENS = 'model.embed_tokens';

export function trainableGemma3(config: Gemma3Config, variables: Variables): DifferentiableTransformer {
  const { final_logit_softcapping: logitCap, rms_norm_eps: epsilon } = config;
  const factor = embeddingFactor(config);
  // Gains are stored as what they differ from 1 by.
  const gain = (name: string) => tf.add<tf.Tensor1D>(variables.vector(name), 1);
  const norm = (name: string, x: Tensor2D) => rmsNorm(x, gain(name), epsilon);
  const headNorm = (name: string, x: Tensor2D) => rmsNormOfParts(x, gain(name), epsilon);
  return {
    scale: config.query_pre_attn_scalar ** -0.5,
    frequencies: frequenciesOf(config),
    window: (layer) => windowOf(config, layer),
    head: TOKENS, // tied
    ...(logitCap === null ? {} : { logitCap }),

    embed: (ids) => tf.mul(embedding(variables.matrix(TOKENS), tf.reshape(ids, [ids.size])), factor),

    startLayer: (layer, x) => norm(`${layerName(layer)}.input_layernorm`, x),
    queries: (layer, q) => headNorm(`${layerName(layer)}.self_attn.q_norm`, q),
    keys: (layer, k) => headNorm(`${layerName(layer)}.self_attn.k_norm`, k),

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

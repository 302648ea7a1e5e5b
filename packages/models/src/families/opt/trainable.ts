// OPT (Zhang et al. 2022) for training: learned positions, layer norms before each block or, in opt-350m, after it, ReLU.
import { embedding } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { OptConfig } from './config';
import type { DifferentiableTransformer, Variables } from '../../training/transformer';
import { hasLastNorm, layerName, POSITION_OFFSET } from './parameters';

const TOKENS = 'model.decoder.embed_tokens';

export function trainableOpt(config: OptConfig, variables: Variables): DifferentiableTransformer {
  const { hidden_size: width, word_embed_proj_dim: narrow, do_layer_norm_before: normFirst } = config;
  const isProjected = narrow !== width;
  return {
    scale: (width / config.num_attention_heads) ** -0.5,
    window: () => null,
    head: TOKENS, // tied

    embed(ids) {
      const [batch, length] = ids.shape;
      const found = embedding(variables.matrix(TOKENS), tf.reshape(ids, [ids.size]));
      const tokens = isProjected ? variables.linear('model.decoder.project_in', found) : found; // [B·T, D]
      const positions = tf.slice(variables.matrix('model.decoder.embed_positions'), [POSITION_OFFSET, 0], [length, width]);
      return tf.reshape(tf.add(tf.reshape(tokens, [batch, length, width]), positions), [batch * length, width]);
    },

    startLayer: (layer, x) => (normFirst ? variables.layerNorm(`${layerName(layer)}.self_attn_layer_norm`, x) : x),

    finishLayer(layer, x, attended) {
      const at = layerName(layer);
      const sum = tf.add<Tensor2D>(x, variables.linear(`${at}.self_attn.out_proj`, attended));
      const between = normFirst ? sum : variables.layerNorm(`${at}.self_attn_layer_norm`, sum);
      const normed = normFirst ? variables.layerNorm(`${at}.final_layer_norm`, sum) : between;
      const inner = variables.linear(`${at}.fc1`, normed, 'relu');
      const next = tf.add<Tensor2D>(between, variables.linear(`${at}.fc2`, inner));
      return normFirst ? next : variables.layerNorm(`${at}.final_layer_norm`, next);
    },

    lastHidden(x) {
      const last = hasLastNorm(config) ? variables.layerNorm('model.decoder.final_layer_norm', x) : x;
      return isProjected ? variables.linear('model.decoder.project_out', last) : last;
    },
  };
}

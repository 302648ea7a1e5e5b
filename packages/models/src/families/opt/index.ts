import { ArgumentError } from '@mixsga/backend';
import { orthogonal } from '../../align/turn';
import type { ModelFamily } from '../family';
import { type OptConfig, optConfigToJson, parseOptConfig } from './config';
import { loadOpt } from './decoder';
import { layerName, parameterSpecs } from './parameters';
import { trainableOpt } from './trainable';

export const opt: ModelFamily<OptConfig> = {
  parse: parseOptConfig,
  toJson: optConfigToJson,
  sized({ heads, kvHeads, ffnSize, ...sizes }) {
    if (kvHeads !== heads) throw new ArgumentError(`expected no kvHeads of opt other than its ${heads} heads, got ${kvHeads}; take llama for fewer`);
    return {
      vocab_size: sizes.vocabularySize, hidden_size: sizes.hiddenSize, num_hidden_layers: sizes.layers, num_attention_heads: heads,
      ffn_dim: ffnSize, max_position_embeddings: sizes.contextLength,
    };
  },
  layerName,
  parameters: parameterSpecs,
  load: loadOpt,
  trainable: trainableOpt,
  heads: {
    keyTurns: orthogonal,
    gainOffset: 0,
    norm(config, layer) {
      if (config.do_layer_norm_before) return `${layerName(layer)}.self_attn_layer_norm`;
      return layer > 0 ? `${layerName(layer - 1)}.final_layer_norm` : null;
    },
  },
};

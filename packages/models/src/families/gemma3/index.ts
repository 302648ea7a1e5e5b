import { pairSigns } from '../../align/turn';
import type { ModelFamily } from '../family';
import { gatedSizes, layerName } from '../gated-layers';
import { type Gemma3Config, gemma3ConfigToJson, parseGemma3Config } from './config';
import { loadGemma3 } from './decoder';
import { gemma3Parameters } from './parameters';
import { trainableGemma3 } from './trainable';

export const gemma3: ModelFamily<Gemma3Config> = {
  parse: parseGemma3Config,
  toJson: gemma3ConfigToJson,
  sized: (sizes) => ({ ...gatedSizes(sizes), query_pre_attn_scalar: sizes.hiddenSize / sizes.heads }),
  layerName,
  parameters: gemma3Parameters,
  load: loadGemma3,
  trainable: trainableGemma3,
  heads: {
    keyTurns: pairSigns,
    queryKeyNorm: 'head',
    gainOffset: 1,
    norm: (_config, layer) => `${layerName(layer)}.input_layernorm`,
  },
};

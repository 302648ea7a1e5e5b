import { rotary } from '../../align/turn';
import type { ModelFamily } from '../family';
import { gatedSizes, layerName } from '../gated-layers';
import { type Gemma2Config, gemma2ConfigToJson, parseGemma2Config } from './config';
import { loadGemma2 } from './decoder';
import { gemma2Parameters } from './parameters';
import { trainableGemma2 } from './trainable';

export const gemma2: ModelFamily<Gemma2Config> = {
  parse: parseGemma2Config,
  toJson: gemma2ConfigToJson,
  sized: (sizes) => ({ ...gatedSizes(sizes), query_pre_attn_scalar: sizes.hiddenSize / sizes.heads }),
  layerName,
  parameters: gemma2Parameters,
  load: loadGemma2,
  trainable: trainableGemma2,
  heads: { keyTurns: rotary, gainOffset: 1, norm: (_config, layer) => `${layerName(layer)}.input_layernorm` },
};

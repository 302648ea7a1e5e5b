import { rotary } from '../../align/turn';
import type { ModelFamily } from '../family';
import { gatedSizes, layerName } from '../gated-layers';
import { type LlamaConfig, llamaConfigToJson, parseLlamaConfig } from './config';
import { loadLlama } from './decoder';
import { llamaParameters } from './parameters';
import { trainableLlama } from './trainable';

export const llama: ModelFamily<LlamaConfig> = {
  parse: parseLlamaConfig,
  toJson: llamaConfigToJson,
  sized: gatedSizes,
  layerName,
  parameters: llamaParameters,
  load: loadLlama,
  trainable: trainableLlama,
  heads: { keyTurns: rotary, gainOffset: 0, norm: (_config, layer) => `${layerName(layer)}.input_layernorm` },
};

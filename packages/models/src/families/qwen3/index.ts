import { pairSigns } from '../../align/turn';
import type { ModelFamily } from '../family';
import { gatedSizes, layerName } from '../gated-layers';
import { type Qwen3Config, qwen3ConfigToJson, parseQwen3Config } from './config';
import { loadQwen3 } from './decoder';
import { qwen3Parameters } from './parameters';
import { trainableQwen3 } from './trainable';

export const qwen3: ModelFamily<Qwen3Config> = {
  parse: parseQwen3Config,
  toJson: qwen3ConfigToJson,
  sized: gatedSizes,
  layerName,
  parameters: qwen3Parameters,
  load: loadQwen3,
  trainable: trainableQwen3,
  heads: {
    keyTurns: pairSigns,
    queryKeyNorm: 'head',
    gainOffset: 0,
    norm: (_config, layer) => `${layerName(layer)}.input_layernorm`,
  },
};

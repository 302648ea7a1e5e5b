import { pairSigns } from '../../align/turn';
import type { ModelFamily } from '../family';
import { gatedSizes, layerName } from '../gated-layers';
import { type Olmo2Config, olmo2ConfigToJson, parseOlmo2Config } from './config';
import { loadOlmo2 } from './decoder';
import { olmo2Parameters } from './parameters';
import { trainableOlmo2 } from './trainable';

export const olmo2: ModelFamily<Olmo2Config> = {
  parse: parseOlmo2Config,
  toJson: olmo2ConfigToJson,
  sized: gatedSizes,
  layerName,
  parameters: olmo2Parameters,
  load: loadOlmo2,
  trainable: trainableOlmo2,
  heads: {
    keyTurns: pairSigns,
    queryKeyNorm: 'all',
    gainOffset: 0,
    // The sum of what blocks gave, each normalised by itself.
    norm: () => null,
  },
};

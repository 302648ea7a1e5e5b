import type { AttentionVariant } from '../../attention/variant';
import { rotaryFrequencies } from '../../config/rope';
import type { TransformerParameter } from '../family';
import { gatedLayers } from '../gated-layers';
import { blockNorms } from '../gemma2/parameters';
import type { Gemma3Config } from './config';

/** Every parameter of a Gemma 3, whose head is tied, in the order of the forward pass; routers keep their own. */
export function gemma3Parameters(config: Gemma3Config, attention: AttentionVariant): TransformerParameter[] {
  return gatedLayers(config, attention, { norms: blockNorms, gains: 'zeros', queryKeyNorm: 'head' });
}

/** Tokens that a query of a layer sees at most; null: all. */
export function windowOf(config: Gemma3Config, layer: number): number | null {
  return config.layer_types[layer] === 'sliding_attention' ? config.sliding_window : null;
}

/** The rotary frequencies by layer: layers that slide have a base of their own, without scaling. */
export function frequenciesOf(config: Gemma3Config): (layer: number) => Float32Array {
  const local = rotaryFrequencies({ rope_theta: config.rope_local_base_freq }, config.head_dim);
  const global = rotaryFrequencies(config, config.head_dim);
  return (layer) => (config.layer_types[layer] === 'sliding_attention' ? local : global);
}

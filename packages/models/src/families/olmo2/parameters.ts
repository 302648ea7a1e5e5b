import type { AttentionVariant } from '../../attention/variant';
import type { TransformerParameter } from '../family';
import { gatedLayers, headOf } from '../gated-layers';
import type { Olmo2Config } from './config';

/** Every parameter of an OLMo 2 in the order of the forward pass, but for the norms after its blocks; routers keep their own. */
export function olmo2Parameters(config: Olmo2Config, attention: AttentionVariant): TransformerParameter[] {
  const norms = ['post_attention_layernorm', 'post_feedforward_layernorm'];
  return [...gatedLayers(config, attention, { norms, gains: 'ones', queryKeyNorm: 'all' }), ...headOf(config)];
}

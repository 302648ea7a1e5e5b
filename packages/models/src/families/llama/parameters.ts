import type { AttentionVariant } from '../../attention/variant';
import type { TransformerParameter } from '../family';
import { gatedLayers, headOf } from '../gated-layers';
import type { LlamaConfig } from './config';

/** Every parameter of a Llama in the order of the forward pass; routers keep their own. */
export function llamaParameters(config: LlamaConfig, attention: AttentionVariant): TransformerParameter[] {
  const norms = ['input_layernorm', 'post_attention_layernorm'];
  return [...gatedLayers(config, attention, { norms, gains: 'ones', mlpBias: config.mlp_bias }), ...headOf(config)];
}

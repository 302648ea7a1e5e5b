import type { AttentionVariant } from '../../attention/variant';
import type { TransformerParameter } from '../family';
import { gatedLayers, headOf } from '../gated-layers';
import type { Qwen3Config } from './config';

/** Every parameter of a Qwen 3 in the order of the forward pass; routers keep their own. */
export function qwen3Parameters(config: Qwen3Config, attention: AttentionVariant): TransformerParameter[] {
  const norms = ['input_layernorm', 'post_attention_layernorm'];
  return [...gatedLayers(config, attention, { norms, gains: 'ones', queryKeyNorm: 'head' }), ...headOf(config)];
}

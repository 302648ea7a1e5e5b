import type { AttentionVariant } from '../attention/variant';
import type { Gemma2Config } from '../config/gemma2';
import type { ParameterSpec } from '../decoder/family';
import { gatedLayers } from '../llama/parameters';

const norms = ['input_layernorm', 'post_attention_layernorm', 'pre_feedforward_layernorm', 'post_feedforward_layernorm'];

/** Every parameter of a Gemma 2, whose head is tied, in the order of the forward pass; routers keep their own. */
export function gemma2Parameters(config: Gemma2Config, attention: AttentionVariant): ParameterSpec[] {
  return gatedLayers(config, attention, { norms, mlpBias: false });
}

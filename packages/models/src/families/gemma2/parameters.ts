import type { AttentionVariant } from '../../attention/variant';
import type { Gemma2Config } from './config';
import type { TransformerParameter } from '../family';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from '../../io/float16';
import { gatedLayers } from '../gated-layers';

/** Norms before and after each block. */
export const blockNorms = ['input_layernorm', 'post_attention_layernorm', 'pre_feedforward_layernorm', 'post_feedforward_layernorm'];

/** Every parameter of a Gemma 2, whose head is tied, in the order of the forward pass; routers keep their own. */
export function gemma2Parameters(config: Gemma2Config, attention: AttentionVariant): TransformerParameter[] {
  return gatedLayers(config, attention, { norms: blockNorms, gains: 'zeros' });
}

/** To the nearest numbers of an element type. */
const rounded = {
  float32: (values: Float32Array) => values,
  float16: (values: Float32Array) => float16ToFloat32(float32ToFloat16(values)),
  bfloat16: (values: Float32Array) => bfloat16ToFloat32(float32ToBfloat16(values)),
};

/** √D, a number of the element type that the model was published in: the 59.87 of gemma-2-9b is 59.75 in bfloat16. */
export function embeddingFactor({ hidden_size: width, torch_dtype: type }: Pick<Gemma2Config, 'hidden_size' | 'torch_dtype'>): number {
  return rounded[type ?? 'float32'](Float32Array.of(Math.sqrt(width)))[0]!;
}

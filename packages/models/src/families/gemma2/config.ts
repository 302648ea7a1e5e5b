import { z } from 'zod';
import { checkAttention, common, headCount, meaningful, only, positive, readKeys, tokenCount, width } from '../../config/keys';
import { type LayerType, layerTypes, layerTypesOf } from '../../config/layer-types';
import { parseRope, ropeKeys, unknownRopeKeys, type RopeConfig } from '../../config/rope';
import { checkHeadDim } from '../rotary-heads';

/** Element type that a model was published in. */
export const dtype = z.enum(['float32', 'float16', 'bfloat16'], { error: 'expected float32, float16 or bfloat16' });

const keys = {
  ...common,
  model_type: z.literal('gemma2', { error: 'expected "gemma2"' }),
  intermediate_size: width,
  num_key_value_heads: headCount.nullish(),
  head_dim: width.default(256),
  hidden_activation: only('gelu_pytorch_tanh'),
  rms_norm_eps: positive.default(1e-6),
  attention_bias: z.boolean().default(false),
  tie_word_embeddings: only(true),
  query_pre_attn_scalar: positive.default(256),
  // Null turns a cap off.
  attn_logit_softcapping: positive.nullable().default(50),
  final_logit_softcapping: positive.nullable().default(30),
  sliding_window: tokenCount.default(4096),
  layer_types: layerTypes,
  /** Element type that the model was published in. */
  torch_dtype: dtype.nullish(),
  dtype: dtype.nullish(),
  ...ropeKeys,
};

/**
 * Configuration of a Gemma 2: the keys of Hugging Face's config.json that mean something here, under their own names and with
 * their defaults, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type Gemma2Config = Omit<z.output<z.ZodObject<typeof keys>>, keyof typeof ropeKeys | 'num_key_value_heads' | 'layer_types' | 'dtype'> &
  RopeConfig & { num_key_value_heads: number; layer_types: LayerType[] };

/**
 * Checks a parsed config.json of a Gemma 2.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseGemma2Config(json: unknown, where: string): Gemma2Config {
  const parsed = readKeys(keys, json, where, unknownRopeKeys);
  const { rope_parameters: _, rope_scaling: __, dtype, ...kept } = meaningful(parsed) as typeof parsed;
  const config = {
    ...kept,
    ...parseRope(parsed, where),
    // `meaningful` leaves out what is null.
    attn_logit_softcapping: parsed.attn_logit_softcapping,
    final_logit_softcapping: parsed.final_logit_softcapping,
    num_key_value_heads: kept.num_key_value_heads ?? kept.num_attention_heads,
    layer_types: layerTypesOf(kept.layer_types, kept.num_hidden_layers, (layer) => (layer % 2 === 0 ? 'sliding_attention' : 'full_attention'), where),
    ...(dtype ? { torch_dtype: dtype } : {}),
  } as Gemma2Config;
  checkAttention(config, where);
  checkHeadDim(config, where);
  return config;
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function gemma2ConfigToJson(config: Gemma2Config): Record<string, unknown> {
  return { architectures: ['Gemma2ForCausalLM'], ...config };
}

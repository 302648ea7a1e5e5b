import { z } from 'zod';
import { checkAttention, common, headCount, meaningful, only, positive, readKeys, width } from '../../config/keys';
import { parseRope, ropeKeys, unknownRopeKeys, type RopeConfig } from '../../config/rope';
import { checkHeadDim } from '../llama/config';

const keys = {
  ...common,
  model_type: z.literal('olmo2', { error: 'expected "olmo2"' }),
  intermediate_size: width,
  num_key_value_heads: headCount.nullish(),
  head_dim: width.nullish(),
  hidden_act: only('silu'),
  rms_norm_eps: positive.default(1e-5),
  attention_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  ...ropeKeys,
};

/**
 * Configuration of an OLMo 2: the keys of Hugging Face's config.json that mean something here, under their own names and with
 * their defaults, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type Olmo2Config = Omit<z.output<z.ZodObject<typeof keys>>, keyof typeof ropeKeys | 'num_key_value_heads' | 'head_dim'> &
  RopeConfig & { num_key_value_heads: number; head_dim: number };

/**
 * Checks a parsed config.json of an OLMo 2.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseOlmo2Config(json: unknown, where: string): Olmo2Config {
  const parsed = readKeys(keys, json, where, unknownRopeKeys);
  const { rope_parameters: _, rope_scaling: __, ...kept } = meaningful(parsed) as typeof parsed;
  const config = {
    ...kept,
    ...parseRope(parsed, where),
    num_key_value_heads: kept.num_key_value_heads ?? kept.num_attention_heads,
  } as Olmo2Config;
  checkAttention(config, where);
  config.head_dim ??= config.hidden_size / config.num_attention_heads;
  checkHeadDim(config, where);
  return config;
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function olmo2ConfigToJson({ rope_scaling: scaling, ...config }: Olmo2Config): Record<string, unknown> {
  // Of this family transformers 4 knows the old name of the kind alone.
  const { rope_type: type, ...numbers } = scaling ?? {};
  return { architectures: ['Olmo2ForCausalLM'], ...config, ...(type ? { rope_scaling: { type, ...numbers } } : {}) };
}

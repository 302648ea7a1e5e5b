import { FileError } from '@mixsga/backend';
import { z } from 'zod';
import { checkAttention, common, headCount, meaningful, only, positive, readKeys, width } from '../../config/keys';
import { parseRope, ropeKeys, unknownRopeKeys, type RopeConfig } from '../../config/rope';

const keys = {
  ...common,
  model_type: z.literal('llama', { error: 'expected "llama"' }),
  intermediate_size: width,
  num_key_value_heads: headCount.nullish(),
  head_dim: width.nullish(),
  hidden_act: only('silu'),
  rms_norm_eps: positive.default(1e-6),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  ...ropeKeys,
};

/**
 * Configuration of a Llama: the keys of Hugging Face's config.json that mean something here, under their own names and with
 * their defaults, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type LlamaConfig = Omit<z.output<z.ZodObject<typeof keys>>, keyof typeof ropeKeys | 'num_key_value_heads' | 'head_dim'> &
  RopeConfig & { num_key_value_heads: number; head_dim: number };

/**
 * Checks a parsed config.json of a Llama.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseLlamaConfig(json: unknown, where: string): LlamaConfig {
  const parsed = readKeys(keys, json, where, unknownRopeKeys);
  const { rope_parameters: _, rope_scaling: __, ...kept } = meaningful(parsed) as typeof parsed;
  const config = {
    ...kept,
    ...parseRope(parsed, where),
    num_key_value_heads: kept.num_key_value_heads ?? kept.num_attention_heads,
  } as LlamaConfig;
  checkAttention(config, where);
  config.head_dim ??= config.hidden_size / config.num_attention_heads;
  checkHeadDim(config, where);
  return config;
}

/** @throws FileError when there are no pairs to rotate */
export function checkHeadDim({ head_dim }: { head_dim: number }, where: string): void {
  if (head_dim % 2 !== 0) throw new FileError(where, `head_dim: expected an even number, whose pairs rotate, got ${head_dim}`);
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function llamaConfigToJson(config: LlamaConfig): Record<string, unknown> {
  return { architectures: ['LlamaForCausalLM'], ...config };
}

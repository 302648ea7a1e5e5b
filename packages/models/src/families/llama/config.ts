import { z } from 'zod';
import { common, headCount, only, positive, readKeys, width } from '../../config/keys';
import { ropeKeys, unknownRopeKeys } from '../../config/rope';
import { rotaryHeads, type RotaryHeads } from '../rotary-heads';

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
export type LlamaConfig = RotaryHeads<z.output<z.ZodObject<typeof keys>>>;

/**
 * Checks a parsed config.json of a Llama.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseLlamaConfig(json: unknown, where: string): LlamaConfig {
  return rotaryHeads(readKeys(keys, json, where, unknownRopeKeys), where);
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function llamaConfigToJson(config: LlamaConfig): Record<string, unknown> {
  return { architectures: ['LlamaForCausalLM'], ...config };
}

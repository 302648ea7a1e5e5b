import { z } from 'zod';
import { common, headCount, only, positive, readKeys, width } from '../../config/keys';
import { ropeKeys, unknownRopeKeys } from '../../config/rope';
import { rotaryHeads, type RotaryHeads } from '../rotary-heads';

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
export type Olmo2Config = RotaryHeads<z.output<z.ZodObject<typeof keys>>>;

/**
 * Checks a parsed config.json of an OLMo 2.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseOlmo2Config(json: unknown, where: string): Olmo2Config {
  return rotaryHeads(readKeys(keys, json, where, unknownRopeKeys), where);
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function olmo2ConfigToJson({ rope_scaling: scaling, ...config }: Olmo2Config): Record<string, unknown> {
  // Of this family transformers 4 knows the old name of the kind alone.
  const { rope_type: type, ...numbers } = scaling ?? {};
  return { architectures: ['Olmo2ForCausalLM'], ...config, ...(type ? { rope_scaling: { type, ...numbers } } : {}) };
}

import { z } from 'zod';
import { checkAttention, common, meaningful, only, orNone, readKeys, tokenId, width } from '../../config/keys';

const keys = {
  ...common,
  model_type: z.literal('opt', { error: 'expected "opt"' }),
  ffn_dim: width,
  word_embed_proj_dim: width.nullish(),
  do_layer_norm_before: z.boolean().default(true),
  _remove_final_layer_norm: z.boolean().default(false),
  activation_function: only('relu'),
  enable_bias: only(true),
  layer_norm_elementwise_affine: only(true),
  tie_word_embeddings: only(true),
  init_std: z.number().positive().default(0.02),
  eos_token_id: orNone(tokenId),
};

/**
 * Configuration of an OPT model: the keys of Hugging Face's config.json that mean something here, under their own
 * names, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type OptConfig = Omit<z.output<z.ZodObject<typeof keys>>, 'word_embed_proj_dim'> & {
  /** Width of the embeddings; other than `hidden_size` in opt-350m only. */
  word_embed_proj_dim: number;
};

/**
 * Checks a parsed config.json of an OPT model.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseOptConfig(json: unknown, where: string): OptConfig {
  const parsed = readKeys(keys, json, where);
  const config = {
    ...meaningful(parsed),
    word_embed_proj_dim: parsed.word_embed_proj_dim ?? parsed.hidden_size,
  } as OptConfig;
  checkAttention(config, where);
  return config;
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function optConfigToJson(config: OptConfig): Record<string, unknown> {
  return { architectures: ['OPTForCausalLM'], ...config };
}

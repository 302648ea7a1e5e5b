import { ArgumentError } from '@mixsga/backend';
import { z } from 'zod';
import { parseAttention } from '../attention/index';
import { checkField, validateConfig } from './validate';

const count = z.int({ error: 'expected a whole number above 0' }).positive({ error: 'expected a whole number above 0' });
const tokenId = z.int({ error: 'expected a token id' }).nonnegative({ error: 'expected a token id' });

/** A key whose value this implementation has no other of. */
const only = <T extends string | boolean>(value: T) =>
  z.literal(value, { error: `expected ${JSON.stringify(value)}, the only one implemented` }).default(value as never);

const mixsga = z.strictObject({
  /** An attention variant, see {@link parseAttention}. */
  attention: z.string(),
  router: z.enum(['sigmoid', 'random'], { error: 'expected sigmoid or random' }).optional(),
  routerSeed: z.int({ error: 'expected a whole number' }).optional(),
});

const modelled = {
  model_type: z.literal('opt', { error: 'expected "opt"' }),
  vocab_size: count,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  ffn_dim: count,
  max_position_embeddings: count,
  word_embed_proj_dim: count.nullish(),
  do_layer_norm_before: z.boolean().default(true),
  _remove_final_layer_norm: z.boolean().default(false),
  activation_function: only('relu'),
  enable_bias: only(true),
  layer_norm_elementwise_affine: only(true),
  tie_word_embeddings: only(true),
  init_std: z.number().positive().default(0.02),
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenId.nullish(),
  pad_token_id: tokenId.nullish(),
  mixsga: mixsga.optional(),
};

/** Keys that Hugging Face writes and that change nothing here: training-time dropout, bookkeeping, output options. */
const IGNORED = [
  ...['_name_or_path', 'architectures', 'transformers_version', 'torch_dtype', 'dtype', 'use_cache', 'prefix'],
  ...['dropout', 'attention_dropout', 'activation_dropout', 'layerdrop', 'output_attentions', 'output_hidden_states'],
  ...['return_dict', 'chunk_size_feed_forward', 'is_encoder_decoder', 'id2label', 'label2id', 'problem_type'],
] as const;
type Ignored = (typeof IGNORED)[number];

const schema = z.strictObject({
  ...modelled,
  ...(Object.fromEntries(IGNORED.map((key) => [key, z.unknown().optional()])) as Record<Ignored, z.ZodOptional<z.ZodUnknown>>),
});

/**
 * Configuration of an OPT model: the keys of Hugging Face's config.json that mean something here, under their own
 * names, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type OptConfig = Omit<z.output<typeof schema>, Ignored | 'word_embed_proj_dim'> & {
  /** Width of the embeddings; other than `hidden_size` in opt-350m only. */
  word_embed_proj_dim: number;
};

/**
 * Checks a parsed config.json of an OPT model.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseOptConfig(json: unknown, where: string): OptConfig {
  const parsed = validateConfig(schema, json, where);
  const kept = Object.entries(parsed).filter(([key, value]) => key in modelled && value !== undefined && value !== null);
  const config = {
    ...Object.fromEntries(kept),
    word_embed_proj_dim: parsed.word_embed_proj_dim ?? parsed.hidden_size,
  } as OptConfig;

  const { hidden_size: hiddenSize, num_attention_heads: heads, num_hidden_layers: layers } = config;
  checkField(where, 'num_attention_heads', () => {
    if (hiddenSize % heads !== 0) {
      throw new ArgumentError(`expected a divisor of hidden_size ${hiddenSize}, got ${heads}`);
    }
  });
  const attention = config.mixsga?.attention;
  if (attention !== undefined) {
    checkField(where, 'mixsga.attention', () => parseAttention(attention).validate({ kvHeads: heads, layers }));
  }
  return config;
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function optConfigToJson(config: OptConfig): Record<string, unknown> {
  return { architectures: ['OPTForCausalLM'], ...config };
}

// What the configurations of all families have in common.
import { ArgumentError } from '@mixsga/backend';
import { routerNames } from '@mixsga/router';
import { z } from 'zod';
import { parseAttention } from '../attention/index';
import { checkField } from './validate';

export const count = z.int({ error: 'expected a whole number above 0' }).positive({ error: 'expected a whole number above 0' });
export const positive = z.number({ error: 'expected a number above 0' }).positive({ error: 'expected a number above 0' });
export const tokenId = z.int({ error: 'expected a token id' }).nonnegative({ error: 'expected a token id' });

/** A key whose value this implementation has no other of. */
export const only = <T extends string | boolean>(value: T) =>
  z.literal(value, { error: `expected ${JSON.stringify(value)}, the only one implemented` }).default(value as never);

const mixsga = z.strictObject({
  /** An attention variant, see {@link parseAttention}. */
  attention: z.string(),
  router: z.string().refine((name) => routerNames().includes(name), { error: () => `expected one of ${routerNames().join(', ')}` }).optional(),
  routerSeed: z.int({ error: 'expected a whole number' }).optional(),
  /** Whether heads were aligned before they were grouped: how the weights were made, nothing to be done. */
  align: z.boolean({ error: 'expected true or false' }).optional(),
});

export const tokenIds = z.union([tokenId, z.array(tokenId)], { error: 'expected a token id, or a list of them' });

/** Keys of every family. */
export const common = {
  vocab_size: count,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  max_position_embeddings: count,
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds.nullish(),
  pad_token_id: tokenId.nullish(),
  mixsga: mixsga.optional(),
};

/** The attention variant with its routers, which this project writes beside the keys of Hugging Face. */
export type MixsgaKey = z.output<typeof mixsga>;

/** Keys that Hugging Face writes for any model and that change nothing here: training, bookkeeping, how to sample and to answer. */
const IGNORED = [
  ...['_name_or_path', 'architectures', 'transformers_version', 'torch_dtype', 'dtype', 'use_cache', 'prefix', 'auto_map'],
  ...['_attn_implementation_autoset', '_attn_implementation', 'attn_implementation', 'cache_implementation', 'initializer_range'],
  ...['dropout', 'attention_dropout', 'activation_dropout', 'layerdrop', 'output_attentions', 'output_hidden_states'],
  ...['return_dict', 'return_dict_in_generate', 'chunk_size_feed_forward', 'is_decoder', 'is_encoder_decoder', 'pretraining_tp'],
  ...['id2label', 'label2id', 'num_labels', 'problem_type', 'finetuning_task', 'task_specific_params', 'tokenizer_class'],
  ...['torchscript', 'use_bfloat16', 'tf_legacy_loss', 'pruned_heads', 'add_cross_attention', 'cross_attention_hidden_size'],
  ...['tie_encoder_decoder', 'decoder_start_token_id', 'sep_token_id', 'forced_bos_token_id', 'forced_eos_token_id'],
  ...['max_length', 'min_length', 'do_sample', 'early_stopping', 'num_beams', 'num_beam_groups', 'num_return_sequences'],
  ...['temperature', 'top_k', 'top_p', 'typical_p', 'diversity_penalty', 'repetition_penalty', 'length_penalty', 'output_scores'],
  ...['no_repeat_ngram_size', 'encoder_no_repeat_ngram_size', 'bad_words_ids', 'exponential_decay_length_penalty'],
  ...['suppress_tokens', 'begin_suppress_tokens', 'remove_invalid_values', 'transformers.js_config'],
] as const;

/** A strict schema of the keys that mean something, beside those that don't. */
export function configSchema<Keys extends z.ZodRawShape>(keys: Keys) {
  const ignored = Object.fromEntries(IGNORED.map((key) => [key, z.unknown().optional()]));
  return z.strictObject({ ...ignored, ...keys }) as unknown as z.ZodObject<Keys, z.core.$strict>;
}

/** The keys of a schema that a file gives a value, or that have a default. */
export function meaningful<Keys extends z.ZodRawShape>(parsed: object, keys: Keys): object {
  return Object.fromEntries(Object.entries(parsed).filter(([key, value]) => key in keys && value !== undefined && value !== null));
}

/** What a model's attention is made of. */
export interface AttentionSizes {
  /** Base of the rotary frequencies, where positions are rotary. */
  readonly rope_theta?: number;
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_hidden_layers: number;
  readonly num_key_value_heads?: number;
  readonly head_dim?: number;
  readonly mixsga?: MixsgaKey;
}

/** @throws FileError naming the field that contradicts another */
export function checkAttention(config: AttentionSizes, where: string): void {
  const { num_attention_heads: heads, num_key_value_heads: kvHeads = heads, num_hidden_layers: layers } = config;
  checkField(where, 'num_attention_heads', () => {
    if (config.head_dim === undefined && config.hidden_size % heads !== 0) {
      throw new ArgumentError(`expected a divisor of hidden_size ${config.hidden_size}, got ${heads}`);
    }
  });
  checkField(where, 'num_key_value_heads', () => {
    if (heads % kvHeads !== 0) throw new ArgumentError(`expected a divisor of num_attention_heads ${heads}, got ${kvHeads}`);
  });
  const attention = config.mixsga?.attention;
  if (attention !== undefined) {
    const { head_dim: headDim = config.hidden_size / heads, rope_theta: theta } = config;
    const shape = { kvHeads, headDim, layers, rotary: theta !== undefined };
    checkField(where, 'mixsga.attention', () => parseAttention(attention).validate(shape));
  }
}

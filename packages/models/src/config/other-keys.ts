// Keys of config.json that a family does not read: which of them can be ignored.
import { FileError, nearestWord, warn } from '@mixsga/backend';
import { describe } from './validate';

/** Keys that Hugging Face writes for any model and that change nothing here: training, bookkeeping, how to sample and to answer. */
const HARMLESS = new Set([
  ...['_name_or_path', 'transformers_version', 'torch_dtype', 'dtype', 'use_cache', 'prefix', 'name_or_path'],
  ...['_attn_implementation_autoset', '_attn_implementation', 'attn_implementation', 'cache_implementation', 'initializer_range'],
  ...['dropout', 'attention_dropout', 'activation_dropout', 'layerdrop', 'output_attentions', 'output_hidden_states'],
  ...['return_dict', 'return_dict_in_generate', 'chunk_size_feed_forward', 'is_decoder', 'pretraining_tp', 'is_llama_config'],
  ...['id2label', 'label2id', 'num_labels', 'problem_type', 'finetuning_task', 'task_specific_params', 'tokenizer_class'],
  ...['torchscript', 'use_bfloat16', 'tf_legacy_loss', 'cross_attention_hidden_size', 'output_router_logits'],
  ...['tie_encoder_decoder', 'decoder_start_token_id', 'sep_token_id', 'forced_bos_token_id', 'forced_eos_token_id'],
  ...['max_length', 'min_length', 'do_sample', 'early_stopping', 'num_beams', 'num_beam_groups', 'num_return_sequences'],
  ...['temperature', 'top_k', 'top_p', 'typical_p', 'diversity_penalty', 'repetition_penalty', 'length_penalty', 'output_scores'],
  ...['no_repeat_ngram_size', 'encoder_no_repeat_ngram_size', 'bad_words_ids', 'exponential_decay_length_penalty'],
  ...['suppress_tokens', 'begin_suppress_tokens', 'remove_invalid_values', 'transformers.js_config'],
  // Gemma reads `hidden_activation` instead.
  'hidden_act',
]);

interface Kind {
  /** What its keys are called, in any family of Hugging Face's. */
  readonly names: RegExp;
  /** Values with which they change nothing, beside null, false and what is empty. */
  readonly neutral: (value: unknown, config: Readonly<Record<string, unknown>>, key: string) => boolean;
  /** What the error says that was expected. */
  readonly expected: string;
}

const isOne = (value: unknown) => value === 1 || value === 'default';
const no = () => false;

/** Kinds of keys that change what a model computes, or how its weights are stored, and that no family here implements. */
const COMPUTING: readonly Kind[] = [
  {
    names: /quantiz|^(compression|sparsity)_config$/,
    neutral: no,
    expected: 'none, for quantized weights are not implemented; take the model that was quantized',
  },
  { names: /expert|(^|_)moe(_|$)/, neutral: (value) => value === 0 || value === 1, expected: 'none, for mixtures of experts are not implemented' },
  { names: /(^|_)(rope|mrope|rotary)(_|$)/, neutral: isOne, expected: 'false, the only one implemented' },
  {
    names: /sliding|(^|_)window(_|$)|^attention_chunk_size$/,
    neutral: (value, { use_sliding_window: used, sliding_window: window, max_position_embeddings: positions }, key) => {
      if (used === false || (window == null && key !== 'use_sliding_window')) return true;
      return key !== 'use_sliding_window' && typeof window === 'number' && window >= (positions as number);
    },
    expected: 'none, for this family attends to all tokens',
  },
  {
    names: /^layer_types$/,
    neutral: (value) => Array.isArray(value) && value.every((type) => type === 'full_attention'),
    expected: 'full_attention alone, the only one implemented',
  },
  { names: /softcap|_multiplier$|^logits?_scal|^scale_|^residual_scale/, neutral: isOne, expected: 'none, for it is not implemented' },
  { names: /(^|_)(alibi|qk_norm|clip_qkv|bidirectional_attention|parallel_(attn|residual|block))$/, neutral: no, expected: 'false, the only one implemented' },
  { names: /^((use_)?bias|(use_)?(qkv|attention|attn|mlp|lm_head|ffn)_bias)$/, neutral: no, expected: 'false, the only one implemented' },
  { names: /^(is_encoder_decoder|add_cross_attention|pruned_heads|(text|vision|audio)_config)$/, neutral: no, expected: 'none, for it is not implemented' },
];

/** Keys that a warning lists. */
const LISTED = 5;

/**
 * Sorts the keys of a config.json that are not among `own` into kinds: harmless ones, those that would change what the model computes,
 * and unknown ones, which transformers ignores too and of which one warning lists the first.
 * @param nested unknown keys of objects in it, see {@link otherRopeKeys}, for the same warning
 * @throws FileError naming a key of the second kind
 */
export function checkOtherKeys(
  config: Readonly<Record<string, unknown>>, own: readonly string[], where: string, nested: readonly string[] = [],
): void {
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(config)) {
    if (own.includes(key) || HARMLESS.has(key)) continue;
    if (key === 'architectures') checkArchitectures(value, config.model_type, where);
    else if (!refusedUnlessNeutral(key, value, config, where) && !isNothing(value)) unknown.push(key);
  }
  unknown.push(...nested);
  if (unknown.length > 0) warn(`${where}: ignored ${listOf(unknown, own.filter((key) => !Object.hasOwn(config, key)))}`);
}

/**
 * The same for keys that may stand with the kind of rotary positions: only their share of a head's dimensions would change anything.
 * @returns the unknown ones
 * @throws FileError when it does
 */
export function otherRopeKeys(rope: Readonly<Record<string, unknown>>, own: readonly string[], field: string, where: string): string[] {
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(rope)) {
    if (own.includes(key) || isNothing(value) || (/^(partial_rotary|attention)_factor$/.test(key) && value === 1)) continue;
    if (/rotary|mrope/.test(key)) throw new FileError(where, `${field}.${key}: expected 1, the only one implemented, got ${describe(value)}`);
    unknown.push(`${field}.${key}`);
  }
  return unknown;
}

/** Whether it is of a kind that computes; where it does, an error. */
function refusedUnlessNeutral(key: string, value: unknown, config: Readonly<Record<string, unknown>>, where: string): boolean {
  const kind = COMPUTING.find(({ names }) => names.test(key));
  if (!kind) return false;
  if (isNothing(value) || kind.neutral(value, config, key)) return true;
  throw new FileError(where, `${key}: expected ${kind.expected}, got ${describe(value)}`);
}

/** The classes in transformers that are this family with a head that predicts tokens, or without a head: LlamaForCausalLM, LlamaModel. */
function checkArchitectures(value: unknown, family: unknown, where: string): void {
  if (isNothing(value)) return;
  const names = Array.isArray(value) ? value.map(String) : [];
  // Gemma3ForCausalLM and Gemma3TextModel are of the family gemma3_text.
  const name = String(family).replace(/_text$/, '(text)?').replace(/[-_]/g, '');
  const pattern = new RegExp(`^(tf|flax)?${name}(forcausallm|lmheadmodel|model)$`, 'i');
  if (names.some((name) => pattern.test(name))) return;
  throw new FileError(where, `architectures: expected a causal language model of the family ${String(family)}, as model_type says, got ${describe(value)}`);
}

function isNothing(value: unknown): boolean {
  if (value === null || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** "8 unknown keys: a, b, c, d, e and 3 more", each with the key that it may have been meant to be. */
function listOf(keys: readonly string[], absent: readonly string[]): string {
  const shown = keys.slice(0, LISTED).map((key) => {
    const near = nearestWord(key, absent);
    const name = key.length > 40 ? `${key.slice(0, 37)}...` : key;
    return /^[\w.-]+$/.test(name) ? `${name}${near ? ` (did you mean ${near}?)` : ''}` : JSON.stringify(name);
  });
  const rest = keys.length > LISTED ? ` and ${(keys.length - LISTED).toLocaleString('en')} more` : '';
  return `${keys.length === 1 ? 'an unknown key' : `${keys.length.toLocaleString('en')} unknown keys`}: ${shown.join(', ')}${rest}`;
}

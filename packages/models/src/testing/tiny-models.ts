// Small models with random weights, of each family and form.
import { SeededRandom } from '@mixsga/backend';
import type { RouterKind } from '@mixsga/router';
import { parseAttention } from '../attention/index';
import type { ModelConfig } from '../config/shape';
import { familyOf, parseModelConfig } from '../families/index';
import { constantValues } from '../attention/layer-constants';

const VOCABULARY = 50;

const common = { vocab_size: VOCABULARY, hidden_size: 32, num_hidden_layers: 4, max_position_embeddings: 80 };
const opt = { ...common, model_type: 'opt', num_attention_heads: 8, ffn_dim: 48 };
const llama = { ...common, model_type: 'llama', num_attention_heads: 8, num_key_value_heads: 4, intermediate_size: 48 };

/** The forms of the families, by name. */
export const tinyForms = {
  opt,
  'opt with norms after blocks and projected embeddings': { ...opt, do_layer_norm_before: false, word_embed_proj_dim: 12 },
  llama: { ...llama, tie_word_embeddings: true },
  'llama with biases, scaled positions and a head of its own': {
    ...llama, attention_bias: true, mlp_bias: true, head_dim: 6,
    rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 16 },
  },
  'llama with 3 KV heads': { ...llama, hidden_size: 36, num_attention_heads: 9, num_key_value_heads: 3 },
  gemma3: {
    ...llama, model_type: 'gemma3_text', head_dim: 6, sliding_window: 11, sliding_window_pattern: 3, query_pre_attn_scalar: 9,
    rope_local_base_freq: 100, rope_theta: 50_000, rope_scaling: { rope_type: 'linear', factor: 4 }, final_logit_softcapping: 5,
  },
  olmo2: { ...llama, model_type: 'olmo2', intermediate_size: 40 },
  gemma2: {
    ...llama, model_type: 'gemma2', head_dim: 6, sliding_window: 11, query_pre_attn_scalar: 9, attn_logit_softcapping: 2,
    final_logit_softcapping: 3,
  },
} as const;

export type TinyForm = keyof typeof tinyForms;

/** Configuration of a form with an attention variant. */
export function tinyConfig(form: TinyForm, attention = 'mha', router?: RouterKind): ModelConfig {
  const mixsga = attention === 'mha' ? {} : { mixsga: { attention, ...(router ? { router } : {}) } };
  return parseModelConfig({ ...tinyForms[form], ...mixsga }, 'test');
}

/** Random values for every parameter; parameter i draws from stream i of the seed. */
export function tinyValues(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const attention = parseAttention(config.mixsga?.attention ?? 'mha');
  const values = new Map<string, Float32Array>();
  familyOf(config).parameters(config, attention).forEach(({ name, shape }, stream) => {
    const random = new SeededRandom(seed, stream);
    const middle = /norm\w*\.weight$/.test(name) ? 1 - familyOf(config).heads.gainOffset : 0;
    values.set(name, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => middle + 0.3 * random.normal()));
  });
  for (const [name, array] of constantValues(config, values, attention)) values.set(name, array);
  return values;
}

/** Token ids of the tiny models' vocabulary, by a rule. */
export function tinyTokens(count: number, seed: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * i * 7 + i * 3 + seed * 11) % VOCABULARY);
}

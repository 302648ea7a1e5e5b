import { FileError, onWarning } from '@mixsga/backend';
import { readdir, readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseModelConfig } from '../families/index';

const llama = {
  ...{ architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: 59, hidden_size: 36, num_hidden_layers: 3 },
  ...{ num_attention_heads: 6, num_key_value_heads: 2, intermediate_size: 44, max_position_embeddings: 128, head_dim: 10 },
  ...{ bos_token_id: 0, eos_token_id: 2, rms_norm_eps: 1e-6, hidden_act: 'silu', rope_theta: 10000, tie_word_embeddings: false },
};
const gemma2 = {
  ...{ architectures: ['Gemma2ForCausalLM'], model_type: 'gemma2', vocab_size: 61, hidden_size: 24, num_hidden_layers: 4, head_dim: 12 },
  ...{ num_attention_heads: 6, num_key_value_heads: 3, intermediate_size: 36, query_pre_attn_scalar: 10, sliding_window: 7 },
  ...{ max_position_embeddings: 96, hidden_activation: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6 },
};

let warnings: string[];
let stop: () => void;
beforeEach(() => {
  warnings = [];
  stop = onWarning((message) => void warnings.push(message));
});
afterEach(() => stop());

const parse = (json: object) => parseModelConfig(json, 'c.json');

describe('keys of config.json that are not read', () => {
  it('are listed in one warning where they are unknown', () => {
    const config = parse({ ...llama, unsloth_fixed: true, unsloth_version: '2025.9.7', max_sequence_length: 128 });
    parse({ ...llama, unsloth_fixed: true, unsloth_version: '2025.9.7', max_sequence_length: 128 });
    expect(warnings).toEqual(['c.json: ignored 3 unknown keys: unsloth_fixed, unsloth_version, max_sequence_length']);
    expect(config).toEqual(parse(llama));
  });

  it('are listed shortly, however many and long they are', () => {
    const many = Object.fromEntries(Array.from({ length: 1e4 }, (_, i) => [`${'\n'.repeat(1000)}${i}`, 1]));
    parse({ ...llama, ...many });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^c\.json: ignored 10,000 unknown keys: .* and 9,995 more$/);
    expect(warnings[0]!.length).toBeLessThan(700);
    expect(warnings[0]).not.toContain('\n');
  });

  it('are named with the key that may be meant', () => {
    const { rms_norm_eps, ...rest } = llama;
    parse({ ...rest, rms_norm_epz: rms_norm_eps });
    expect(warnings).toEqual(['c.json: ignored an unknown key: rms_norm_epz (did you mean rms_norm_eps?)']);
  });

  it.each<object>([
    { _name_or_path: 'x', transformers_version: '4.57.6', use_cache: true, pretraining_tp: 1, torch_dtype: 'bfloat16', dtype: null },
    { pad_token_id: -1, bos_token_id: 0, attention_bias: null, mlp_bias: null, rope_scaling: null, rope_parameters: null },
    { sliding_window: null, use_sliding_window: false },
    { sliding_window: 4096, use_sliding_window: false, max_window_layers: 28 },
    { sliding_window: 4096 },
    { layer_types: ['full_attention', 'full_attention', 'full_attention'] },
    { quantization_config: null, pruned_heads: {}, is_encoder_decoder: false, add_cross_attention: false, id2label: { 0: 'a' } },
    { rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 10000, partial_rotary_factor: 1 } },
    { rope_theta: undefined, rope_parameters: { full_attention: { rope_type: 'default', rope_theta: 10000 } } },
    { num_experts: 0, logits_scaling: 1, rope_interleaved: false, is_llama_config: true },
    { architectures: null },
    { architectures: ['LLaMAForCausalLM'] },
  ])('change nothing and are not worth a word: %j', (change) => {
    expect(parse({ ...llama, ...change })).toEqual({ ...parse(llama) });
    expect(warnings).toEqual([]);
  });

  it.each<[object, string]>([
    [{ quantization_config: { quant_method: 'gptq', bits: 4 } }, 'quantization_config: expected none, for quantized weights are not implemented; take the model that was quantized, got {"quant_method":"gptq","bits":4}'],
    [{ quantization: { group_size: 64, bits: 4 } }, 'quantization: expected none'],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'rope_scaling.rope_type: expected default, linear or llama3, the only ones implemented, got "yarn"'],
    [{ rope_parameters: { rope_type: 'default', rope_theta: 10000, partial_rotary_factor: 0.5 } }, 'rope_parameters.partial_rotary_factor: expected 1, the only one implemented, got 0.5'],
    [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor: expected false, the only one implemented, got 0.5'],
    [{ rope_interleaved: true }, 'rope_interleaved: expected false, the only one implemented, got true'],
    [{ sliding_window: 64 }, 'sliding_window: expected none, for this family attends to all tokens, got 64'],
    [{ sliding_window: 64, use_sliding_window: true }, 'sliding_window: expected none'],
    [{ layer_types: ['full_attention', 'sliding_attention'] }, 'layer_types: expected full_attention alone, the only one implemented, got ["full_attention","sliding_attention"]'],
    [{ num_local_experts: 8 }, 'num_local_experts: expected none, for mixtures of experts are not implemented, got 8'],
    [{ attn_logit_softcapping: 50 }, 'attn_logit_softcapping: expected none'],
    [{ embedding_multiplier: 12 }, 'embedding_multiplier: expected none'],
    [{ use_qk_norm: true }, 'use_qk_norm: expected false'],
    [{ qkv_bias: true }, 'qkv_bias: expected false, the only one implemented, got true'],
    [{ add_cross_attention: true }, 'add_cross_attention: expected none'],
    [{ architectures: ['MistralForCausalLM'] }, 'architectures: expected a causal language model of the family llama, as model_type says, got ["MistralForCausalLM"]'],
    [{ architectures: ['LlamaForSequenceClassification'] }, 'architectures: expected a causal language model'],
    [{ rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_theta: 10000 } }, 'rope_parameters: expected what rope_scaling says, got others'],
  ])('are an error where they compute: %j', (change, message) => {
    expect(() => parse({ ...llama, ...change })).toThrow(FileError);
    expect(() => parse({ ...llama, ...change })).toThrow(`c.json: ${message}`);
    expect(warnings).toEqual([]);
  });

  it('of another family are an error there', () => {
    expect(() => parse({ ...gemma2, mlp_bias: true })).toThrow('c.json: mlp_bias: expected false, the only one implemented, got true');
    expect(() => parse({ ...gemma2, use_bidirectional_attention: true })).toThrow('c.json: use_bidirectional_attention: expected false');
    expect(parse({ ...gemma2, sliding_window: 5, mlp_bias: false, hidden_act: 'gelu' })).toMatchObject({ sliding_window: 5 });
    expect(warnings).toEqual([]);
  });

  it('of rotary positions by type of layer are one where they are the same', () => {
    const one = { rope_type: 'default', rope_theta: 5000 };
    const nested = (other: object) => ({ ...gemma2, rope_parameters: { sliding_attention: one, full_attention: other } });
    expect(parse(nested({ rope_theta: 5000, rope_type: 'default' }))).toMatchObject({ rope_theta: 5000 });
    expect(() => parse(nested({ ...one, rope_theta: 1e6 }))).toThrow(
      'c.json: rope_parameters: expected the same for all types of layers, the only ones implemented, got others for sliding_attention',
    );
  });

  it('of rotary positions that their kind does not use are a warning', () => {
    parse({ ...llama, rope_scaling: { rope_type: 'linear', factor: 2, beta_fast: 32 } });
    expect(warnings).toEqual(['c.json: ignored an unknown key: rope_scaling.beta_fast']);
  });

  it('are one warning, those within other keys too', () => {
    const rope = { rope_type: 'linear', factor: 2, rope_theta: 10000 };
    parse({ ...llama, unsloth_fixed: true, rope_scaling: { ...rope, beta_fast: 32, rope_theta: undefined }, rope_parameters: { ...rope, a: 1, b: 2, c: 3, d: 4 } });
    expect(warnings).toEqual([
      'c.json: ignored 6 unknown keys: unsloth_fixed, rope_scaling.beta_fast, rope_parameters.a, rope_parameters.b, rope_parameters.c and 1 more',
    ]);
  });
});

describe('config.json as transformers saves it', () => {
  const folder = new URL('../fixtures/configs/', import.meta.url);

  it('is read without a word, and the versions agree', async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.json')).sort();
    expect(names).toHaveLength(24);
    const byModel = new Map<string, unknown[]>();
    for (const name of names) {
      const json = JSON.parse(await readFile(new URL(name, folder), 'utf8')) as { dtype?: unknown };
      const { ...config } = parse(json);
      const model = name.replace(/-transformers-\d\.json$/, '');
      byModel.set(model, [...(byModel.get(model) ?? []), config]);
    }
    expect(warnings).toEqual([]);
    for (const [model, [four, five]] of byModel) expect(five, model).toEqual(four);
  });
});

import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { parseModelConfig } from '../index';
import { gemma3ConfigToJson, parseGemma3Config } from './config';
import { frequenciesOf } from './parameters';

/** config.json of google/gemma-3-1b-it. */
const gemma3 = {
  ...{ architectures: ['Gemma3ForCausalLM'], attention_bias: false, attention_dropout: 0.0, attn_logit_softcapping: null, bos_token_id: 2 },
  ...{ cache_implementation: 'hybrid', eos_token_id: [1, 106], final_logit_softcapping: null, head_dim: 256 },
  ...{ hidden_activation: 'gelu_pytorch_tanh', hidden_size: 1152, initializer_range: 0.02, intermediate_size: 6912 },
  ...{ max_position_embeddings: 32768, model_type: 'gemma3_text', num_attention_heads: 4, num_hidden_layers: 26, num_key_value_heads: 1 },
  ...{ pad_token_id: 0, query_pre_attn_scalar: 256, rms_norm_eps: 1e-6, rope_local_base_freq: 10000, rope_scaling: null, rope_theta: 1000000 },
  ...{ sliding_window: 512, sliding_window_pattern: 6, torch_dtype: 'bfloat16', transformers_version: '4.50.0.dev0', use_cache: true },
  ...{ vocab_size: 262144 },
};
const linear = { rope_type: 'linear', factor: 8 };

const parse = (change: object = {}) => parseGemma3Config({ ...gemma3, ...change }, 'c.json');

describe('parseGemma3Config', () => {
  it('takes what Hugging Face writes, with every sixth layer attending to all tokens', () => {
    const config = parse();
    expect(config.layer_types.flatMap((type, layer) => (type === 'full_attention' ? [layer] : []))).toEqual([5, 11, 17, 23]);
    expect(config).toMatchObject({ rope_theta: 1000000, rope_local_base_freq: 10000, final_logit_softcapping: null, torch_dtype: 'bfloat16' });
    expect(config).not.toHaveProperty('sliding_window_pattern');
    // As transformers saves it, which keeps the types of layers.
    const { sliding_window_pattern: pattern, ...saved } = gemma3;
    expect(parseModelConfig({ ...saved, _sliding_window_pattern: pattern, layer_types: config.layer_types }, 'c.json')).toEqual(config);
    expect(parse({ sliding_window_pattern: undefined })).toEqual(config);
    expect(parse({ rope_local_base_freq: 500 })).toEqual({ ...config, rope_local_base_freq: 500 });
    expect(parse({ rope_local_base_freq: undefined })).toEqual(config);
  });

  it('reads back what it writes', () => {
    for (const config of [parse(), parse({ rope_scaling: linear, final_logit_softcapping: 30, sliding_window_pattern: 2 })]) {
      expect(parseGemma3Config(JSON.parse(JSON.stringify(gemma3ConfigToJson(config))), 'c.json')).toEqual(config);
    }
  });

  it('takes positions by type of layer for the same, and scales those of layers that attend to all tokens alone', () => {
    const config = parse({ rope_scaling: linear });
    const types = { full_attention: { rope_theta: 1000000, ...linear }, sliding_attention: { rope_type: 'default', rope_theta: 10000 } };
    const change = { rope_theta: undefined, rope_local_base_freq: undefined, rope_scaling: undefined };
    expect(parse({ ...change, rope_parameters: types })).toEqual(config);
    expect(parse({ ...change, rope_parameters: { full_attention: linear } })).toEqual(config);
    const frequencies = frequenciesOf(config);
    expect(frequencies(0)).toBe(frequencies(4));
    expect([0, 5].map((layer) => frequencies(layer)[0])).toEqual([1, 1 / 8]);
    expect(frequencies(0)[64]).toBeCloseTo(1e-2, 8);
    expect(frequencies(5)[64]).toBeCloseTo(1e-3 / 8, 8);
  });

  it.each<[object, string]>([
    [{ hidden_activation: 'gelu' }, 'hidden_activation: expected "gelu_pytorch_tanh", the only one implemented, got "gelu"'],
    [{ attn_logit_softcapping: 50 }, 'attn_logit_softcapping: expected none, for it is not implemented, got 50'],
    [{ use_bidirectional_attention: true }, 'use_bidirectional_attention: expected false, the only one implemented, got true'],
    [{ sliding_window_pattern: 0 }, 'sliding_window_pattern: expected a whole number above 0, got 0'],
    [{ rope_local_base_freq: -1 }, 'rope_local_base_freq: expected a number above 0, got -1'],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'rope_scaling.rope_type: expected default, linear or llama3, the only ones implemented, got "yarn"'],
    [{ rope_parameters: { rope_type: 'default', rope_theta: 1000000 } }, 'unknown key rope_parameters.rope_type; expected one of full_attention, sliding_attention'],
    [{ rope_parameters: { sliding_attention: { rope_theta: 5 } } }, 'rope_parameters.sliding_attention.rope_theta: expected 10000, as rope_local_base_freq says, got 5'],
    [{ rope_parameters: { full_attention: { rope_theta: 5 } } }, 'rope_parameters.full_attention.rope_theta: expected 1000000, as rope_theta says, got 5'],
    [{ rope_parameters: { sliding_attention: linear } }, 'rope_parameters.sliding_attention.rope_type: expected default, the only one implemented, got "linear"'],
    [{ rope_parameters: { full_attention: { rope_type: 'linear' } } }, 'rope_parameters.full_attention.factor: expected a number, which linear scaling needs, got nothing'],
    [{ architectures: ['Gemma3ForConditionalGeneration'] }, 'architectures: expected a causal language model of the family gemma3_text, as model_type says'],
  ])('refuses %j', (change, message) => {
    expect(() => parse(change)).toThrow(FileError);
    expect(() => parse(change)).toThrow(`c.json: ${message}`);
  });

  it('names the family for a Gemma 3 with pictures', () => {
    expect(() => parseModelConfig({ ...gemma3, model_type: 'gemma3' }, 'c.json')).toThrow(/^c\.json: unknown model_type "gemma3"; did you mean gemma3_text, its models for text alone\?/);
  });
});

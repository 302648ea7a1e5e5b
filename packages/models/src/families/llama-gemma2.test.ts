import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { gemma2ConfigToJson, parseGemma2Config } from './gemma2/config';
import { llamaConfigToJson, parseLlamaConfig } from './llama/config';
import { rotaryFrequencies } from '../config/rope';

/** config.json of meta-llama/Llama-3.2-1B. */
const llama = {
  ...{ architectures: ['LlamaForCausalLM'], attention_bias: false, attention_dropout: 0.0, bos_token_id: 128000, eos_token_id: 128001 },
  ...{ head_dim: 64, hidden_act: 'silu', hidden_size: 2048, initializer_range: 0.02, intermediate_size: 8192 },
  ...{ max_position_embeddings: 131072, mlp_bias: false, model_type: 'llama', num_attention_heads: 32, num_hidden_layers: 16 },
  ...{ num_key_value_heads: 8, pretraining_tp: 1, rms_norm_eps: 1e-5, rope_theta: 500000.0, tie_word_embeddings: true },
  rope_scaling: { factor: 32.0, high_freq_factor: 4.0, low_freq_factor: 1.0, original_max_position_embeddings: 8192, rope_type: 'llama3' },
  ...{ torch_dtype: 'bfloat16', transformers_version: '4.45.0.dev0', use_cache: true, vocab_size: 128256 },
};

/** config.json of HuggingFaceTB/SmolLM2-135M. */
const smol = {
  ...{ architectures: ['LlamaForCausalLM'], attention_bias: false, attention_dropout: 0.0, bos_token_id: 0, eos_token_id: 0 },
  ...{ hidden_act: 'silu', hidden_size: 576, initializer_range: 0.041666666666666664, intermediate_size: 1536, is_llama_config: true },
  ...{ max_position_embeddings: 8192, model_type: 'llama', num_attention_heads: 9, num_hidden_layers: 30, num_key_value_heads: 3 },
  ...{ pretraining_tp: 1, rms_norm_eps: 1e-5, rope_interleaved: false, rope_scaling: null, rope_theta: 100000 },
  ...{ tie_word_embeddings: true, torch_dtype: 'bfloat16', transformers_version: '4.40.1', use_cache: true, vocab_size: 49152 },
};

/** config.json of google/gemma-2-2b. */
const gemma2 = {
  ...{ architectures: ['Gemma2ForCausalLM'], attention_bias: false, attention_dropout: 0.0, attn_logit_softcapping: 50.0 },
  ...{ bos_token_id: 2, cache_implementation: 'hybrid', eos_token_id: 1, final_logit_softcapping: 30.0, head_dim: 256 },
  ...{ hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh', hidden_size: 2304, initializer_range: 0.02 },
  ...{ intermediate_size: 9216, max_position_embeddings: 8192, model_type: 'gemma2', num_attention_heads: 8, num_hidden_layers: 26 },
  ...{ num_key_value_heads: 4, pad_token_id: 0, query_pre_attn_scalar: 256, rms_norm_eps: 1e-6, rope_theta: 10000.0 },
  ...{ sliding_window: 4096, torch_dtype: 'float32', transformers_version: '4.42.4', use_cache: true, vocab_size: 256000 },
};

describe('parseLlamaConfig', () => {
  it('takes what Hugging Face writes, and keeps what means something', () => {
    const config = parseLlamaConfig(llama, 'c.json');
    expect(config).toMatchObject({ num_key_value_heads: 8, head_dim: 64, rope_theta: 500000, tie_word_embeddings: true });
    expect(config).not.toHaveProperty('attention_dropout');
    expect(parseLlamaConfig(smol, 'c.json')).toMatchObject({ head_dim: 64, num_key_value_heads: 3, rope_theta: 100000 });
    expect(parseLlamaConfig({ ...smol, num_key_value_heads: undefined }, 'c.json').num_key_value_heads).toBe(9);
    expect(parseLlamaConfig({ ...llama, eos_token_id: [128001, 128008] }, 'c.json').eos_token_id).toEqual([128001, 128008]);
  });

  it('reads back what it writes', () => {
    for (const json of [llama, { ...smol, mixsga: { attention: 'mixsga:1:2@1,3', routerSeed: 4 } }]) {
      const config = parseLlamaConfig(json, 'c.json');
      expect(parseLlamaConfig(JSON.parse(JSON.stringify(llamaConfigToJson(config))), 'c.json')).toEqual(config);
    }
  });

  it('takes every spelling of rotary positions for the same', () => {
    const { rope_type, ...numbers } = llama.rope_scaling;
    const config = parseLlamaConfig(llama, 'c.json');
    const changes = [
      { rope_scaling: { type: 'llama3', ...numbers } },
      { rope_scaling: { type: 'llama3', rope_type, ...numbers } },
      { rope_scaling: undefined, rope_theta: undefined, rope_parameters: { rope_type, rope_theta: 500000, ...numbers } },
    ];
    for (const change of changes) expect(parseLlamaConfig({ ...llama, ...change }, 'c.json')).toEqual(config);
    const plain = parseLlamaConfig({ ...llama, rope_scaling: null }, 'c.json');
    expect(parseLlamaConfig({ ...llama, rope_scaling: { rope_type: 'default' } }, 'c.json')).toEqual(plain);
    expect(parseLlamaConfig({ ...llama, rope_scaling: null, rope_parameters: { rope_theta: 500000 } }, 'c.json')).toEqual(plain);
  });

  it.each<[object, string]>([
    [{ hidden_act: 'gelu' }, 'hidden_act: expected "silu", the only one implemented, got "gelu"'],
    [{ rms_norm_eps: 0 }, 'rms_norm_eps: expected a number above 0, got 0'],
    [{ num_key_value_heads: 5 }, 'num_key_value_heads: expected a divisor of num_attention_heads 32, got 5'],
    [{ num_attention_heads: 30, num_key_value_heads: 6, head_dim: null }, 'num_attention_heads: expected a divisor of hidden_size 2048, got 30'],
    [{ head_dim: 63 }, 'head_dim: expected an even number, whose pairs rotate, got 63'],
    [{ intermediate_size: undefined }, 'intermediate_size: expected a whole number above 0, got nothing'],
    [{ rope_interleaved: true }, 'rope_interleaved: expected false, the only one implemented, got true'],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'rope_scaling.rope_type: expected default, linear or llama3, the only ones implemented, got "yarn"'],
    [{ rope_scaling: { factor: 4 } }, 'rope_scaling.rope_type: expected default, linear or llama3, got nothing'],
    [{ rope_scaling: { type: 'linear' } }, 'rope_scaling.factor: expected a number, which linear scaling needs, got nothing'],
    [{ rope_scaling: { ...llama.rope_scaling, type: 'linear' } }, 'rope_scaling.type: expected llama3, as rope_type says, got linear'],
    [{ rope_scaling: { ...llama.rope_scaling, high_freq_factor: 1 } }, 'rope_scaling.high_freq_factor: expected more than low_freq_factor 1, got 1'],
    [{ rope_parameters: { rope_theta: 10000 } }, 'rope_parameters.rope_theta: expected 500000, as rope_theta says, got 10000'],
    [{ eos_token_id: [1, -1] }, 'eos_token_id.1: expected a token id, got -1'],
    [{ mixsga: { attention: 'mixsga:3:1:6@1,2,16' } }, 'mixsga.attention: group sizes: expected divisors of the 8 KV heads'],
  ])('refuses %j', (change, message) => {
    const parse = () => parseLlamaConfig({ ...llama, ...change }, 'c.json');
    expect(parse).toThrow(FileError);
    expect(parse).toThrow(`c.json: ${message}`);
  });
});

describe('parseGemma2Config', () => {
  it('takes what Hugging Face writes, with every other layer sliding from the first', () => {
    const config = parseGemma2Config(gemma2, 'c.json');
    expect(config.layer_types.slice(0, 3)).toEqual(['sliding_attention', 'full_attention', 'sliding_attention']);
    expect(config).toMatchObject({ head_dim: 256, torch_dtype: 'float32', tie_word_embeddings: true });
    expect(parseGemma2Config(JSON.parse(JSON.stringify(gemma2ConfigToJson(config))), 'c.json')).toEqual(config);
    expect(parseGemma2Config({ ...gemma2, torch_dtype: undefined, dtype: 'float32' }, 'c.json')).toEqual(config);
  });

  it('takes null as no soft cap, here and in what it writes', () => {
    const config = parseGemma2Config({ ...gemma2, attn_logit_softcapping: null, final_logit_softcapping: null }, 'c.json');
    expect(config).toMatchObject({ attn_logit_softcapping: null, final_logit_softcapping: null });
    expect(parseGemma2Config(JSON.parse(JSON.stringify(gemma2ConfigToJson(config))), 'c.json')).toEqual(config);
  });

  it.each<[object, string]>([
    [{ hidden_activation: 'gelu' }, 'hidden_activation: expected "gelu_pytorch_tanh", the only one implemented, got "gelu"'],
    [{ tie_word_embeddings: false }, 'tie_word_embeddings: expected true, the only one implemented, got false'],
    [{ sliding_window: 0 }, 'sliding_window: expected a whole number above 0, got 0'],
    [{ attn_logit_softcapping: -1 }, 'attn_logit_softcapping: expected a number above 0, got -1'],
    [{ layer_types: ['full_attention'] }, 'layer_types: expected one for each of num_hidden_layers 26, got 1'],
    [{ layer_types: ['chunked_attention'] }, 'layer_types.0: expected sliding_attention or full_attention, got "chunked_attention"'],
    [{ use_bidirectional_attention: true }, 'use_bidirectional_attention: expected false, the only one implemented, got true'],
  ])('refuses %j', (change, message) => {
    const parse = () => parseGemma2Config({ ...gemma2, ...change }, 'c.json');
    expect(parse).toThrow(FileError);
    expect(parse).toThrow(`c.json: ${message}`);
  });
});

describe('rotaryFrequencies', () => {
  it('fall from 1 by powers of theta', () => {
    const frequencies = rotaryFrequencies({ rope_theta: 10000 }, 8);
    expect([...frequencies]).toEqual([1, 0.1, 0.01, 0.001].map((x) => expect.closeTo(x, 7)));
    expect([...rotaryFrequencies({ rope_theta: 10000, rope_scaling: { rope_type: 'linear', factor: 4 } }, 8)]).toEqual([...frequencies].map((x) => x / 4));
  });

  it('of Llama 3 stay where wavelengths are short, and are divided where they are long', () => {
    const { rope_theta, rope_scaling } = parseLlamaConfig(llama, 'c.json');
    const [plain, scaled] = [rotaryFrequencies({ rope_theta }, 64), rotaryFrequencies({ rope_theta, rope_scaling }, 64)];
    const wavelengths = [...plain].map((frequency) => (2 * Math.PI) / frequency);
    const between = wavelengths.filter((wavelength) => wavelength >= 8192 / 4 && wavelength <= 8192);
    expect(between.length).toBeGreaterThan(1);
    wavelengths.forEach((wavelength, i) => {
      const kept = Math.min(1, Math.max(0, (8192 / wavelength - 1) / 3));
      expect(scaled[i]! / plain[i]!).toBeCloseTo((1 - kept) / 32 + kept, 6);
    });
  });
});

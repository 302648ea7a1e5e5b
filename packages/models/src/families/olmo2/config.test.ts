import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { olmo2ConfigToJson, parseOlmo2Config } from './config';

/** config.json of allenai/OLMo-2-0425-1B. */
const olmo2 = {
  ...{ architectures: ['Olmo2ForCausalLM'], attention_bias: false, attention_dropout: 0.0, eos_token_id: 100257, hidden_act: 'silu' },
  ...{ hidden_size: 2048, initializer_range: 0.02, intermediate_size: 8192, max_position_embeddings: 4096, model_type: 'olmo2' },
  ...{ num_attention_heads: 16, num_hidden_layers: 16, num_key_value_heads: 16, pad_token_id: 100277, rms_norm_eps: 1e-6 },
  ...{ rope_scaling: null, rope_theta: 500000, tie_word_embeddings: false, torch_dtype: 'float32', transformers_version: '4.47.0' },
  ...{ use_cache: false, vocab_size: 100352 },
};

const parse = (change: object = {}) => parseOlmo2Config({ ...olmo2, ...change }, 'c.json');

describe('parseOlmo2Config', () => {
  it('takes what Hugging Face writes', () => {
    expect(parse()).toMatchObject({ head_dim: 128, num_key_value_heads: 16, rope_theta: 500000, tie_word_embeddings: false, eos_token_id: 100257 });
    expect(parse({ num_key_value_heads: undefined })).toEqual(parse());
  });

  it('reads back what it writes, with scaling under the name that transformers 4 knows', () => {
    const scaled = parse({ rope_scaling: { type: 'linear', factor: 2 } });
    expect(scaled.rope_scaling).toEqual({ rope_type: 'linear', factor: 2 });
    expect(olmo2ConfigToJson(scaled).rope_scaling).toEqual({ type: 'linear', factor: 2 });
    expect(olmo2ConfigToJson(parse())).not.toHaveProperty('rope_scaling');
    for (const config of [parse(), scaled]) expect(parseOlmo2Config(JSON.parse(JSON.stringify(olmo2ConfigToJson(config))), 'c.json')).toEqual(config);
  });

  it.each<[object, string]>([
    [{ hidden_act: 'gelu' }, 'hidden_act: expected "silu", the only one implemented, got "gelu"'],
    [{ num_attention_heads: 15, num_key_value_heads: 15 }, 'num_attention_heads: expected a divisor of hidden_size 2048, got 15'],
    [{ clip_qkv: 8 }, 'clip_qkv: expected false, the only one implemented, got 8'],
    [{ sliding_window: 64 }, 'sliding_window: expected none, for this family attends to all tokens, got 64'],
    [{ architectures: ['OlmoForCausalLM'] }, 'architectures: expected a causal language model of the family olmo2, as model_type says, got ["OlmoForCausalLM"]'],
  ])('refuses %j', (change, message) => {
    expect(() => parse(change)).toThrow(FileError);
    expect(() => parse(change)).toThrow(`c.json: ${message}`);
  });
});

import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { parseQwen3Config, qwen3ConfigToJson } from './config';

/** config.json of Qwen/Qwen3-0.6B. */
const qwen3 = {
  ...{ architectures: ['Qwen3ForCausalLM'], attention_bias: false, attention_dropout: 0.0, bos_token_id: 151643, eos_token_id: 151645 },
  ...{ head_dim: 128, hidden_act: 'silu', hidden_size: 1024, initializer_range: 0.02, intermediate_size: 3072, max_position_embeddings: 40960 },
  ...{ max_window_layers: 28, model_type: 'qwen3', num_attention_heads: 16, num_hidden_layers: 28, num_key_value_heads: 8, rms_norm_eps: 1e-6 },
  ...{ rope_scaling: null, rope_theta: 1000000, sliding_window: null, tie_word_embeddings: true, torch_dtype: 'bfloat16' },
  ...{ transformers_version: '4.51.0', use_cache: true, use_sliding_window: false, vocab_size: 151936 },
};

const parse = (change: object = {}) => parseQwen3Config({ ...qwen3, ...change }, 'c.json');

describe('parseQwen3Config', () => {
  it('takes what Hugging Face writes, and reads back what it writes', () => {
    const config = parse();
    expect(config).toMatchObject({ head_dim: 128, num_key_value_heads: 8, rope_theta: 1000000, tie_word_embeddings: true, sliding_window: null });
    expect(new Set(config.layer_types)).toEqual(new Set(['full_attention']));
    for (const one of [config, parse({ use_sliding_window: true, sliding_window: 512, max_window_layers: 20 })]) {
      expect(parseQwen3Config(JSON.parse(JSON.stringify(qwen3ConfigToJson(one))), 'c.json')).toEqual(one);
    }
  });

  it('slides from max_window_layers on, or where layer_types says, and nowhere without a window', () => {
    const sliding = (change: object) => parse(change).layer_types.flatMap((type, layer) => (type === 'sliding_attention' ? [layer] : []));
    expect(sliding({ use_sliding_window: true, sliding_window: 512, max_window_layers: 25 })).toEqual([25, 26, 27]);
    expect(sliding({ use_sliding_window: true, sliding_window: 512, max_window_layers: 0 })).toHaveLength(28);
    expect(sliding({ use_sliding_window: true, sliding_window: null, max_window_layers: 25 })).toEqual([]);
    expect(sliding({ sliding_window: 512, max_window_layers: 25 })).toEqual([]);
    const types = Array.from({ length: 28 }, (_, layer) => (layer === 3 ? 'sliding_attention' : 'full_attention'));
    expect(sliding({ use_sliding_window: true, sliding_window: 512, layer_types: types })).toEqual([3]);
  });

  it.each<[object, string]>([
    [{ head_dim: 127 }, 'head_dim: expected an even number, whose pairs rotate, got 127'],
    [{ hidden_act: 'gelu' }, 'hidden_act: expected "silu", the only one implemented, got "gelu"'],
    [{ num_key_value_heads: 5 }, 'num_key_value_heads: expected a divisor of num_attention_heads 16, got 5'],
    [{ layer_types: ['full_attention'] }, 'layer_types: expected one for each of num_hidden_layers 28, got 1'],
    [
      { num_hidden_layers: 2, layer_types: ['full_attention', 'sliding_attention'] },
      'layer_types: expected full_attention alone, as use_sliding_window or sliding_window says, got sliding_attention at 1',
    ],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'rope_scaling.rope_type: expected default, linear or llama3, the only ones implemented, got "yarn"'],
    [{ model_type: 'qwen2' }, 'model_type: expected "qwen3", got "qwen2"'],
    [{ num_experts: 128 }, 'num_experts: expected none, for mixtures of experts are not implemented, got 128'],
  ])('refuses %j', (change, message) => {
    expect(() => parse(change)).toThrow(FileError);
    expect(() => parse(change)).toThrow(`c.json: ${message}`);
  });
});

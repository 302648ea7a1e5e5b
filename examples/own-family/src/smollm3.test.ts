import { startBackend } from '@mixsga/backend';
import { convertConfig, createDecoder, parseModelConfig, randomParameters, registerFamily } from '@mixsga/models';
import { familyChecks } from '@mixsga/models/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { smolLm3 } from './smollm3';

/** config.json of HuggingFaceTB/SmolLM3-3B, but for its generation settings. */
const published = {
  ...{ architectures: ['SmolLM3ForCausalLM'], attention_bias: false, attention_dropout: 0.0, bos_token_id: null, eos_token_id: 128012 },
  ...{ hidden_act: 'silu', hidden_size: 2048, initializer_range: 0.02, intermediate_size: 11008, max_position_embeddings: 65536 },
  ...{ max_window_layers: 28, mlp_bias: false, model_type: 'smollm3', no_rope_layer_interval: 4, num_attention_heads: 16 },
  ...{ num_hidden_layers: 36, num_key_value_heads: 4, pad_token_id: 128004, pretraining_tp: 2, rms_norm_eps: 1e-6, rope_scaling: null },
  ...{ rope_theta: 5000000.0, sliding_window: null, torch_dtype: 'bfloat16', use_cache: false, use_sliding_window: false, vocab_size: 128256 },
};
const tiny = { model_type: 'smollm3', ...smolLm3.sized({ vocabularySize: 40, layers: 1, hiddenSize: 32, heads: 4, kvHeads: 2, ffnSize: 24, contextLength: 32 }) };

beforeAll(async () => {
  registerFamily('smollm3', smolLm3);
  await startBackend('wasm');
});

describe('smolLm3', () => {
  it.each(familyChecks)('$name', ({ run }) => run('smollm3'));

  it('takes what Hugging Face writes, with every fourth layer still', () => {
    const config = smolLm3.parse(published, 'config.json');
    expect(config).toMatchObject({ rope_theta: 5000000, tie_word_embeddings: true, head_dim: 128 });
    expect(config.no_rope_layers.flatMap((flag, layer) => (flag === 0 ? [layer] : []))).toEqual([3, 7, 11, 15, 19, 23, 27, 31, 35]);
    expect(() => smolLm3.parse({ ...published, no_rope_layers: [1, 0] }, 'config.json')).toThrow('config.json: no_rope_layers: expected 0 or 1 for each of num_hidden_layers 36, got [1,0]');
    expect(() => smolLm3.parse({ ...published, sliding_window: 64, use_sliding_window: true }, 'config.json')).toThrow('max_window_layers: expected none, for this family attends to all tokens, got 28');
  });

  it.each([[0, 'mha'], [1, 'mha'], [0, 'mixsga:1:1'], [1, 'mixsga:1:1']])('with flag %i and %s sees the order of tokens where it rotates alone', async (flag, attention) => {
    const config = convertConfig(parseModelConfig({ ...tiny, no_rope_layers: [flag] }, 'config.json'), attention);
    const values = randomParameters(config, 4);
    // Large enough that attention is not the same everywhere.
    for (const array of values.values()) if (array.length > 32) array.forEach((value, i) => (array[i] = 15 * value));
    const decoder = await createDecoder(config, values);
    const nll = async (ids: number[]) => {
      const { nll } = await decoder.likelihood(Int32Array.from(ids), Int32Array.of(-1, -1, -1, -1, -1, 7), { routing: 'decode' });
      return nll[5]!;
    };
    const by = Math.abs((await nll([3, 14, 15, 9, 26, 5])) - (await nll([9, 26, 3, 15, 14, 5])));
    if (flag === 1) expect(by).toBeGreaterThan(1e-3);
    else expect(by).toBeLessThan(1e-5);
    decoder.dispose();
  });
});

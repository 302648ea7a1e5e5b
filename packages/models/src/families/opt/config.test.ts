import { FileError } from '@mixsga/backend';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { optConfigToJson, parseOptConfig } from './config';
import { readJsonFile } from '../../config/validate';

/** config.json of facebook/opt-125m. */
const published = {
  _name_or_path: 'facebook/opt-125m',
  activation_dropout: 0.0,
  activation_function: 'relu',
  architectures: ['OPTForCausalLM'],
  attention_dropout: 0.0,
  bos_token_id: 2,
  do_layer_norm_before: true,
  dropout: 0.1,
  eos_token_id: 2,
  ffn_dim: 3072,
  hidden_size: 768,
  init_std: 0.02,
  layerdrop: 0.0,
  max_position_embeddings: 2048,
  model_type: 'opt',
  num_attention_heads: 12,
  num_hidden_layers: 12,
  pad_token_id: 1,
  prefix: '</s>',
  torch_dtype: 'float16',
  transformers_version: '4.21.0.dev0',
  use_cache: true,
  vocab_size: 50272,
  word_embed_proj_dim: 768,
};

/** OPTConfig().to_dict() of transformers 5. */
const dictionary = {
  ...{ transformers_version: '5.0.0', architectures: null, output_hidden_states: false, return_dict: true, dtype: null },
  ...{ chunk_size_feed_forward: 0, is_encoder_decoder: false, id2label: { 0: 'A' }, label2id: { A: 0 }, problem_type: null },
  ...{ vocab_size: 50272, hidden_size: 768, num_hidden_layers: 12, ffn_dim: 3072, max_position_embeddings: 2048 },
  ...{ do_layer_norm_before: true, _remove_final_layer_norm: false, word_embed_proj_dim: 768, dropout: 0.1 },
  ...{ attention_dropout: 0.0, num_attention_heads: 12, activation_function: 'relu', layerdrop: 0.0, init_std: 0.02 },
  ...{ use_cache: true, pad_token_id: 1, bos_token_id: 2, eos_token_id: 2, enable_bias: true },
  ...{ layer_norm_elementwise_affine: true, tie_word_embeddings: true, _name_or_path: '', model_type: 'opt' },
  ...{ output_attentions: false },
};

describe('parseOptConfig', () => {
  it('takes what Hugging Face writes, and keeps what means something', () => {
    const config = parseOptConfig(published, 'config.json');
    expect(config).toEqual(parseOptConfig(dictionary, 'config.json'));
    expect(config).toMatchObject({ vocab_size: 50272, hidden_size: 768, ffn_dim: 3072, init_std: 0.02, enable_bias: true });
    expect(config).not.toHaveProperty('dropout');
  });

  it('reads back what it writes', () => {
    const mixsga = { attention: 'mixsga:3:1:6', router: 'random', routerSeed: 7 };
    const config = parseOptConfig({ ...published, mixsga }, 'config.json');
    expect(config.mixsga).toEqual(mixsga);
    const text = JSON.stringify(optConfigToJson(config));
    expect(parseOptConfig(JSON.parse(text), 'config.json')).toEqual(config);
  });

  it('takes the embedding width from the hidden size when it is not given', () => {
    expect(parseOptConfig({ ...published, word_embed_proj_dim: null }, 'c').word_embed_proj_dim).toBe(768);
  });

  it.each<[object, string]>([
    [{ mixsga: { attention: 'mha', ruoter: 'random' } }, 'c.json: unknown key mixsga.ruoter; did you mean router?'],
    [{ hidden_size: undefined }, 'c.json: hidden_size: expected a whole number above 0, got nothing'],
    [{ ffn_dim: '3072' }, 'c.json: ffn_dim: expected a whole number above 0, got "3072"'],
    [{ num_hidden_layers: 1e9 }, 'c.json: num_hidden_layers: expected at most 4096, got 1000000000'],
    [{ hidden_size: 2 ** 31 }, 'c.json: hidden_size: expected at most 1048576, got 2147483648'],
    [{ num_attention_heads: 1e6 }, 'c.json: num_attention_heads: expected at most 16384, got 1000000'],
    [{ ffn_dim: 1e12 }, 'c.json: ffn_dim: expected at most 1048576, got 1000000000000'],
    [{ vocab_size: 2 ** 40 }, 'c.json: vocab_size: expected at most 268435456, got 1099511627776'],
    [{ max_position_embeddings: 1e15 }, 'c.json: max_position_embeddings: expected at most 268435456, got 1000000000000000'],
    [{ tie_word_embeddings: null }, 'c.json: tie_word_embeddings: expected true, the only one implemented, got null'],
    [{ num_hidden_layers: 0 }, 'c.json: num_hidden_layers: expected a whole number above 0, got 0'],
    [{ do_layer_norm_before: 1 }, 'c.json: do_layer_norm_before: expected boolean, got 1'],
    [{ activation_function: 'gelu' }, 'c.json: activation_function: expected "relu", the only one implemented, got "gelu"'],
    [{ model_type: 'llama' }, 'c.json: model_type: expected "opt", got "llama"'],
    [{ num_attention_heads: 7 }, 'c.json: num_attention_heads: expected a divisor of hidden_size 768, got 7'],
    [{ mixsga: { attention: 'mixsga:3:1:6@1,2,5' } }, 'c.json: mixsga.attention: group sizes: expected divisors of the 12 KV heads'],
    [{ mixsga: { attention: 'mqa' } }, 'c.json: mixsga.attention: attention: expected mha, gqa:GROUP_SIZE (such as gqa:2)'],
    [{ mixsga: { attention: 'mha', router: 'softmax' } }, 'c.json: mixsga.router: expected one of sigmoid, random, balanced, distortion, got "softmax"'],
  ])('refuses %j', (change, message) => {
    const parse = () => parseOptConfig({ ...published, ...change }, 'c.json');
    expect(parse).toThrow(FileError);
    expect(parse).toThrow(message);
  });

  it('refuses what is not an object', () => {
    expect(() => parseOptConfig([], 'c.json')).toThrow('c.json: configuration: expected object, got []');
  });
});

describe('readJsonFile', () => {
  it('names the file and the place of a mistake', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mixsga-config-'));
    const path = join(folder, 'config.json');
    await writeFile(path, '{"vocab_size": 1, "vocab_size": 2}');
    await expect(readJsonFile(path)).rejects.toThrow(`${path}: JSON at byte 18: expected each key once`);
    await rm(folder, { recursive: true });
  });
});

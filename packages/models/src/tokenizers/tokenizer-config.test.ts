import { describe, expect, it } from 'vitest';
import llama2 from '../fixtures/tokenizers/llama-2.json';
import smollm from '../fixtures/tokenizers/smollm.json';
import json from '../fixtures/tokenizer.json';
import { withTokenizerConfig } from './tokenizer-config';

const made = (tokenizer: unknown, config: Record<string, unknown>) => {
  const files = withTokenizerConfig(new Map([['tokenizer.json', JSON.stringify(tokenizer)]]), config);
  return JSON.parse(files.get('tokenizer_config.json') as string) as unknown;
};

describe('withTokenizerConfig', () => {
  it('names the special tokens that config.json has, and whether texts begin with BOS', () => {
    expect(made(json, { bos_token_id: 2, eos_token_id: 2, pad_token_id: 1, max_position_embeddings: 64 })).toEqual({
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: '</s>',
      eos_token: '</s>',
      pad_token: '<pad>',
      unk_token: null,
      add_bos_token: true,
      clean_up_tokenization_spaces: false,
      model_max_length: 64,
    });
    expect(made(llama2, { bos_token_id: 1, eos_token_id: [2, 1] })).toMatchObject({ bos_token: '<s>', eos_token: '</s>', pad_token: null, unk_token: '<unk>', add_bos_token: true });
    expect(made(smollm, { bos_token_id: 1, eos_token_id: null })).toMatchObject({ bos_token: '<|im_start|>', eos_token: null, add_bos_token: false });
  });

  it('leaves one that is there, and what is no tokenizer', () => {
    for (const files of [new Map([['tokenizer.json', JSON.stringify(json)], ['tokenizer_config.json', '{}']]), new Map([['tokenizer.json', '{}']]), new Map([['tokenizer.json', 'x']]), new Map<string, string>()]) {
      expect(withTokenizerConfig(files, {})).toBe(files);
    }
  });
});

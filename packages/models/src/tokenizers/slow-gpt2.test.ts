// Slow GPT-2 tokenizers, held to what AutoTokenizer of transformers makes of the same files.
import { FileError } from '@mixsga/backend';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import fixture from '../fixtures/slow-tokenizers.json';
import { listedFiles } from '../io/checkpoint-files';
import { createTokenizer, loadTokenizer } from './tokenizer';
import { readTokenizerFiles, tokenizerFiles } from './tokenizer-files';

type Files = Readonly<Record<string, unknown>>;

const { vocab, merges, texts } = fixture;
const cases = Object.entries(fixture.cases) as [string, { files: Files; json: { model: object }; ids: number[][] }][];

const asText = (content: unknown) => (typeof content === 'string' ? content : JSON.stringify(content));
const published = (files: Files): Files => ({ 'vocab.json': vocab, 'merges.txt': merges, ...files });
const blobs = (files: Files) => listedFiles(Object.entries(files).map(([name, content]) => ({ name, blob: new Blob([asText(content)]) })));
const read = (files: Files) => readTokenizerFiles(blobs(files));

describe.each(cases)('the files of %s', (_, { files, json, ids }) => {
  it('become the tokenizer.json that transformers makes of them', async () => {
    const made = (await read(published(files))).json as { model: { vocab: object; merges: string[][] } };
    const { vocab: madeVocab, merges: madeMerges, ...model } = made.model;
    expect({ ...made, model }).toEqual(json);
    expect(madeVocab).toEqual(vocab);
    expect(madeMerges.map((pair) => pair.join(' '))).toEqual(merges.split('\n').slice(1, -1));
  });

  it('give the ids of AutoTokenizer', async () => {
    const { json: made, where } = await read(published(files));
    const tokenizer = createTokenizer(made, where);
    texts.forEach((text, i) => expect([text, tokenizer.encode(text)]).toEqual([text, ids[i]]));
  });
});

describe('loadTokenizer', () => {
  it('reads a folder without tokenizer.json, as its saved tokenizer.json', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mixsga-slow-'));
    const { files, ids } = cases[0]![1];
    for (const [name, content] of Object.entries(published(files))) await writeFile(join(folder, name), asText(content));
    const tokenizer = await loadTokenizer(folder);
    const saved = createTokenizer(JSON.parse(tokenizer.save()));
    const at = texts.indexOf('  leading, trailing  and   multiple    spaces     ');
    expect(tokenizer.encode(texts[at]!)).toEqual(ids[at]);
    expect(saved.encode(texts[at]!)).toEqual(ids[at]);
    await rm(folder, { recursive: true });
  });
});

describe('what is no such tokenizer is refused', () => {
  const config = { tokenizer_class: 'GPT2Tokenizer', bos_token: '</s>' };
  const files = { 'tokenizer_config.json': config };
  it.each<[string, Files, string]>([
    ['another class', published({ 'tokenizer_config.json': { tokenizer_class: 'CLIPTokenizer' } }), 'tokenizer_config.json: tokenizer_class: expected GPT2Tokenizer or GPT2TokenizerFast where there is no tokenizer.json, got CLIPTokenizer; save it as tokenizer.json, once, in Python: transformers.AutoTokenizer'],
    ['a BOS that is none', published({ 'tokenizer_config.json': { ...config, bos_token: null, add_bos_token: true } }), 'tokenizer_config.json: add_bos_token: expected a bos_token with it, got none'],
    ['a special token that is a number', published({ 'tokenizer_config.json': { ...config, eos_token: 7 } }), 'tokenizer_config.json: eos_token: '],
    ['a flag that is a text', published({ 'tokenizer_config.json': { ...config, add_bos_token: 'yes' } }), 'tokenizer_config.json: add_bos_token: expected boolean'],
    ['an id that is none', published({ ...files, 'vocab.json': { a: 0, b: -1 } }), 'vocab.json: b: '],
    ['a vocabulary that is a list', published({ ...files, 'vocab.json': ['a'] }), 'vocab.json: expected record'],
    ['a merge of three', published({ ...files, 'merges.txt': '#version: 0.2\nh e\nt h e\n' }), 'merges.txt: line 3: expected two tokens with a space between, got "t h e"'],
    ['an added token of another id', published({ ...files, 'added_tokens.json': { new: 999 } }), 'added_tokens.json: new: expected the id 480, which follows from vocab.json, got 999'],
    ['no JSON', published({ ...files, 'vocab.json': '{"a": ' }), 'vocab.json: expected JSON'],
  ])('%s', async (_, given, message) => {
    await expect(read(given)).rejects.toThrow(FileError);
    await expect(read(given)).rejects.toThrow(message);
  });
});

describe('tokenizerFiles', () => {
  const weights = ['config.json', 'pytorch_model.bin'];
  it('lists what is to be fetched', () => {
    const slow = ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'];
    expect(tokenizerFiles([...weights, ...slow], 'org/name')).toEqual(slow);
    expect(tokenizerFiles([...weights, ...slow, 'tokenizer.json', 'tokenizer.model'], 'org/name')).toEqual([
      'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json',
    ]);
    expect(tokenizerFiles(['added_tokens.json', 'merges.txt', 'vocab.json'], 'org/name')).toEqual(['vocab.json', 'merges.txt', 'added_tokens.json']);
  });

  it.each([
    ['tokenizer.model', 'got tokenizer.model alone, a SentencePiece model; save it as tokenizer.json, once, in Python: transformers.AutoTokenizer.from_pretrained("org/name").save_pretrained("FOLDER")'],
    ['vocab.json', 'got vocab.json alone, half a GPT-2 tokenizer; '],
    ['vocab.txt', 'got vocab.txt alone, a WordPiece vocabulary; '],
    ['README.md', 'got none'],
  ])('refuses %s alone', (name, message) => {
    expect(() => tokenizerFiles([...weights, name], 'org/name')).toThrow(
      `org/name: expected a tokenizer: tokenizer.json, or vocab.json and merges.txt as GPT-2 has; ${message}`,
    );
  });
});

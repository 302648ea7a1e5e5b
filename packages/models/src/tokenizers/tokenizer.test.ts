import { ArgumentError, FileError } from '@mixsga/backend';
import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import expected from '../fixtures/tokenizer-expected.json';
import json from '../fixtures/tokenizer.json';
import { createTokenizer, loadTokenizer } from './tokenizer';

const tokenizer = createTokenizer(json);
const plain = { addSpecialTokens: false };

describe('a byte-level BPE tokenizer', () => {
  it.each(expected)('gives the ids of the reference for $text', ({ text, ids, plain: plainIds, decoded }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.encode(text, plain)).toEqual(plainIds);
    expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it('decodes what it encoded, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(text);
      }),
    );
  });

  it('decodes any cut of a text', () => {
    const ids = tokenizer.encode('日本語 👨‍👩‍👧 é', plain);
    for (let begin = 0; begin < ids.length; begin++) {
      for (let end = begin; end <= ids.length; end++) expect(tokenizer.decode(ids.slice(begin, end))).toBeTypeOf('string');
    }
    expect(tokenizer.decode(tokenizer.encode('é', plain).slice(0, 1))).toBe('\ufffd');
    expect(tokenizer.decode(Int32Array.from(ids))).toBe('日本語 👨‍👩‍👧 é');
  });

  it('takes a lone surrogate as U+FFFD', () => {
    expect(tokenizer.decode(tokenizer.encode('a\ud800b', plain))).toBe('a\ufffdb');
  });

  it('leaves special tokens out when asked', () => {
    const ids = tokenizer.encode('We');
    expect(tokenizer.decode(ids)).toBe('</s>We');
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('We');
  });

  it('knows its size and its special tokens', () => {
    expect(tokenizer.vocabularySize).toBe(340);
    expect(tokenizer.tokenId('</s>')).toBe(2);
    expect(tokenizer.tokenId('absent')).toBeUndefined();
  });

  it('gives no text for ids that have no token, as those of a padded vocabulary', () => {
    const ids = tokenizer.encode('日本語', plain);
    expect(tokenizer.decode([340])).toBe('');
    expect(tokenizer.decode([2 ** 31, ...ids.flatMap((id) => [id, 345])])).toBe('日本語');
    const more = createTokenizer({ ...json, added_tokens: [...json.added_tokens, { id: 340, content: '<far>', special: false }] });
    expect(more.decode([341, 340, 345])).toBe('<far>');
    expect(more.vocabularySize).toBe(341);
  });

  it.each([[-1], [0.5], [NaN]])('refuses the id %d', (id) => {
    expect(() => tokenizer.decode([3, id])).toThrow(ArgumentError);
    expect(() => tokenizer.decode([3, id])).toThrow(`decode: expected token ids, whole numbers from 0, got ${id}`);
  });
});

describe('loadTokenizer', () => {
  it('reads a saved tokenizer from a file or its folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mixsga-tokenizer-'));
    const path = join(folder, 'tokenizer.json');
    await writeFile(path, tokenizer.save());
    for (const place of [folder, path]) {
      expect((await loadTokenizer(place)).encode('the United States')).toEqual(tokenizer.encode('the United States'));
    }
    await writeFile(path, tokenizer.save().slice(0, -10));
    await expect(loadTokenizer(folder)).rejects.toThrow(`${path}: expected JSON`);
    await writeFile(path, '{"model": {"type": "BPE"}}');
    await expect(loadTokenizer(folder)).rejects.toThrow(`${path}: expected a tokenizer.json of Hugging Face tokenizers`);
    await rm(path);
    await expect(loadTokenizer(path)).rejects.toThrow(`${path}: cannot read: no such file`);
    await expect(loadTokenizer(folder)).rejects.toThrow(`${folder}: expected a tokenizer: tokenizer.json, or vocab.json and merges.txt`);
    await rm(folder, { recursive: true });
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'text'],
    ['an object of other keys', { model: null }],
    ['a model without vocabulary', { ...json, model: { type: 'BPE' } }],
    ['an unknown pre-tokenizer', { ...json, pre_tokenizer: { type: 'Unheard' } }],
  ])('refuses %s', (_, malformed) => expect(() => createTokenizer(malformed)).toThrow(FileError));
});

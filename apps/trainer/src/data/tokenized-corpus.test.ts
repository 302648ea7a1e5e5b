import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCorpus, type Corpus } from './corpus';
import { encodeText, type TextTokenizer } from './encode';
import { shippedTokenizer as shipped } from './fixtures/shipped-tokenizer';
import { tokenizeCorpus } from './tokenized-corpus';

/** The library itself, counting the characters it encodes. */
function tokenizerOf(json: object): TextTokenizer & { characters: number } {
  const library = new Tokenizer(json, {});
  return {
    characters: 0,
    encode(text) {
      this.characters += text.length;
      return library.encode(text, { add_special_tokens: false }).ids;
    },
    save: () => JSON.stringify(json),
  };
}

describe('encodeText', () => {
  test.each([
    ['odd text', "  can't\n\n\n we'LL 日本語 😀 \0 \t\u00a0x  \ufeff\n"],
    ['a special token spelt out', 'before </s> after <pad>x'],
    ['lone surrogates', 'a\ud800b \udc00'],
    ['mostly three-byte characters', '鬱'.repeat(1000)],
    ['nothing', ''],
  ])('gives the ids of the library: %s', (_, text) => {
    const tokenizer = tokenizerOf(shipped);
    expect([...encodeText(tokenizer, text)]).toEqual(tokenizer.encode(text));
  });

  test('the corpus by words, as the library encodes it whole', async () => {
    const { documents } = await loadCorpus('sotu');
    const text = documents.test.join('\n\n');
    const tokenizer = tokenizerOf(shipped);
    const ids = encodeText(tokenizer, text);
    expect(tokenizer.characters).toBeLessThan(text.length / 3);
    expect(ids).toHaveLength(140_992);
    expect(ids).toEqual(Int32Array.from(tokenizer.encode(text)));
  });

  test('a tokenizer that looks across words is left to the library', () => {
    for (const change of [
      { normalizer: { type: 'NFC' } },
      { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } },
      { pre_tokenizer: { type: 'ByteLevel', use_regex: false } },
    ]) {
      const tokenizer = tokenizerOf({ ...shipped, ...change });
      const text = 'two words, e\u0301 and  more words';
      expect([...encodeText(tokenizer, text)]).toEqual(tokenizer.encode(text));
    }
  });
});

describe('tokenizeCorpus', () => {
  let cacheFolder: string;
  beforeAll(async () => {
    cacheFolder = join(await mkdtemp(join(tmpdir(), 'mixsga-tokens-')), 'cache');
  });
  afterAll(() => rm(join(cacheFolder, '..'), { recursive: true }));

  const corpus: Corpus = {
    name: 'three',
    description: '',
    documents: { train: ['First address.', 'Second address.'], validation: ['Third.'], test: ['Fourth', 'Fifth'] },
  };

  test('joins documents by a blank line, with no special token', async () => {
    const tokenizer = tokenizerOf(shipped);
    const tokens = await tokenizeCorpus(corpus, tokenizer, { cacheFolder });
    expect([...tokens.train]).toEqual(tokenizer.encode('First address.\n\nSecond address.'));
    expect([...tokens.validation]).toEqual(tokenizer.encode('Third.'));
    expect([...tokens.test]).toEqual(tokenizer.encode('Fourth\n\nFifth'));
  });

  test('encodes once; a damaged or cut cache is made anew', async () => {
    const fresh = await tokenizeCorpus(corpus, tokenizerOf(shipped), { cacheFolder });
    const [name] = await readdir(cacheFolder);
    const good = await readFile(join(cacheFolder, name!));

    const unused = tokenizerOf(shipped);
    expect(await tokenizeCorpus(corpus, unused, { cacheFolder })).toEqual(fresh);
    expect(unused.characters).toBe(0);

    const flipped = Buffer.from(good);
    flipped[40]! ^= 1;
    for (const damaged of [flipped, good.subarray(0, -7), good.subarray(0, 10), Buffer.alloc(0)]) {
      await writeFile(join(cacheFolder, name!), damaged);
      expect(await tokenizeCorpus(corpus, tokenizerOf(shipped), { cacheFolder })).toEqual(fresh);
      expect(await readFile(join(cacheFolder, name!))).toEqual(good);
    }
    expect(await readdir(cacheFolder)).toEqual([name]);
  });

  test('another text or another tokenizer is another entry', async () => {
    const before = (await readdir(cacheFolder)).length;
    // The same characters in other parts.
    const moved = { ...corpus, documents: { ...corpus.documents, validation: ['Third.Fourth'], test: ['Fifth'] } };
    await tokenizeCorpus(moved, tokenizerOf(shipped), { cacheFolder });
    await tokenizeCorpus(corpus, tokenizerOf({ ...shipped, version: '2.0' }), { cacheFolder });
    expect(await readdir(cacheFolder)).toHaveLength(before + 2);
  });

  test('works where nothing can be written', async () => {
    const [name] = await readdir(cacheFolder);
    const tokens = await tokenizeCorpus(corpus, tokenizerOf(shipped), { cacheFolder: join(cacheFolder, name!) });
    expect(tokens.validation.length).toBeGreaterThan(0);
  });
});

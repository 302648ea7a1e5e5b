import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { createTokenizer } from '@mixsga/models';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { BatchSampler } from './batch-sampler';
import { collectDocuments, type Corpus, loadCorpus } from './corpus';
import { textEncoder, type TextTokenizer } from './encode';
import { shippedTokenizer as shipped } from './fixtures/shipped-tokenizer';
import { PART_NAMES, type Parts } from './split';
import { FileTokens, tokenizeCorpus } from './tokenized-corpus';

/** The library itself, counting the characters it encodes. */
function tokenizerOf(json: object): TextTokenizer & { characters: number } {
  const library = new Tokenizer(json, {});
  return {
    characters: 0,
    encode(text) {
      this.characters += text.length;
      return library.encode(text, { add_special_tokens: false }).ids;
    },
    encodeLong(text) {
      return Promise.resolve(this.encode(text));
    },
    save: () => JSON.stringify(json),
  };
}

describe('textEncoder', () => {
  test.each([
    ['odd text', "  can't\n\n\n we'LL 日本語 😀 \0 \t\u00a0x  \ufeff\n"],
    ['a special token spelt out', 'before </s> after <pad>x'],
    ['lone surrogates', 'a\ud800b \udc00'],
    ['mostly three-byte characters', '鬱'.repeat(1000)],
    ['nothing', ''],
  ])('gives the ids of the library: %s', async (_, text) => {
    const tokenizer = tokenizerOf(shipped);
    expect([...(await textEncoder(tokenizer)(text))]).toEqual(tokenizer.encode(text));
  });

  test('the corpus by words, as the library encodes it whole', async () => {
    const documents = await collectDocuments(await loadCorpus('sotu'));
    const text = documents.test.join('\n\n');
    const tokenizer = tokenizerOf(shipped);
    const ids = await textEncoder(tokenizer)(text);
    expect(tokenizer.characters).toBeLessThan(text.length / 3);
    expect(ids).toHaveLength(140_992);
    expect(ids).toEqual(Int32Array.from(tokenizer.encode(text)));
  });

  test('is stopped at the next turn, by words and by the tokenizer alike', async () => {
    const text = 'The state of the Union is strong. '.repeat(1000);
    for (const json of [shipped, { ...shipped, normalizer: { type: 'NFC' } }]) {
      const controller = new AbortController();
      const { encodeLong, ...tokenizer } = createTokenizer(json);
      let now = 0;
      const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000)); // a turn whenever the clock is looked at
      const encoding = textEncoder({ ...tokenizer, encodeLong })(text, controller.signal);
      controller.abort(new Error('enough'));
      await expect(encoding).rejects.toThrow('enough');
      expect(now).toBeLessThan(6000);
      clock.mockRestore();
    }
  });

  test('a tokenizer that looks across words is left to the library', async () => {
    for (const change of [
      { normalizer: { type: 'NFC' } },
      { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } },
      { pre_tokenizer: { type: 'ByteLevel', use_regex: false } },
    ]) {
      const tokenizer = tokenizerOf({ ...shipped, ...change });
      const text = 'two words, e\u0301 and  more words';
      expect([...(await textEncoder(tokenizer)(text))]).toEqual(tokenizer.encode(text));
    }
  });
});

describe('tokenizeCorpus', () => {
  let cacheFolder: string;
  beforeAll(async () => {
    cacheFolder = join(await mkdtemp(join(tmpdir(), 'mixsga-tokens-')), 'cache');
  });
  afterAll(() => rm(join(cacheFolder, '..'), { recursive: true }));

  const corpusOf = (parts: Parts<string[]>): Corpus => ({
    name: 'three',
    fingerprint: JSON.stringify(parts),
    bytes: 0,
    async *documents() {
      for (const part of PART_NAMES) for (const text of parts[part]) yield await Promise.resolve({ part, text });
    },
  });
  const parts = { train: ['First address.', 'Second address.'], validation: ['Third.'], test: ['Fourth', 'Fifth'] };
  const corpus = corpusOf(parts);

  test('joins documents by a blank line, with no special token', async () => {
    const tokenizer = tokenizerOf(shipped);
    const tokens = await tokenizeCorpus(corpus, tokenizer, { cacheFolder });
    expect([...tokens.train.subarray(0, tokens.train.length)]).toEqual(tokenizer.encode('First address.\n\nSecond address.'));
    expect([...tokens.validation]).toEqual(tokenizer.encode('Third.'));
    expect([...tokens.test]).toEqual(tokenizer.encode('Fourth\n\nFifth'));
    expect(tokens.description).toBe(
      'three: train 2, validation 1, test 2 documents; characters: train 29, validation 6, test 11; ' +
        `tokens: train ${tokens.train.length}, validation ${tokens.validation.length}, test ${tokens.test.length}`,
    );
  });

  test('encodes once; a damaged or cut cache is made anew', async () => {
    const fresh = await tokenizeCorpus(corpus, tokenizerOf(shipped), { cacheFolder });
    const [name] = await readdir(cacheFolder);
    const unused = tokenizerOf(shipped);
    expect((await tokenizeCorpus(corpus, unused, { cacheFolder })).train).toEqual(fresh.train);
    expect(unused.characters).toBe(0);

    for (const file of ['train.bin', 'test.bin', 'summary.json']) {
      const path = join(cacheFolder, name!, file);
      const good = await readFile(path);
      const flipped = Buffer.from(good);
      flipped[10]! ^= 1;
      for (const damaged of [flipped, good.subarray(0, -7), Buffer.alloc(0)]) {
        await writeFile(path, damaged);
        const again = await tokenizeCorpus(corpus, tokenizerOf(shipped), { cacheFolder });
        expect([again.train, again.validation, again.test]).toEqual([fresh.train, fresh.validation, fresh.test]);
        expect(await readFile(path)).toEqual(good);
      }
    }
    expect(await readdir(cacheFolder)).toEqual([name]);
  });

  test('another text or another tokenizer is another entry', async () => {
    const before = (await readdir(cacheFolder)).length;
    // The same characters in other parts.
    const moved = corpusOf({ ...parts, validation: ['Third.Fourth'], test: ['Fifth'] });
    await tokenizeCorpus(moved, tokenizerOf(shipped), { cacheFolder });
    await tokenizeCorpus(corpus, tokenizerOf({ ...shipped, version: '2.0' }), { cacheFolder });
    expect(await readdir(cacheFolder)).toHaveLength(before + 2);
  });

  test('a corpus of several blocks, as the library encodes it whole', async () => {
    const sotu = await loadCorpus('sotu');
    const progress: number[] = [];
    const tokens = await tokenizeCorpus(sotu, tokenizerOf(shipped), { cacheFolder, onProgress: (bytes) => progress.push(bytes) });
    expect([tokens.train.length, tokens.validation.length, tokens.test.length]).toEqual([2_516_596, 273_310, 140_992]);
    const { train } = await collectDocuments(sotu);
    const whole = await textEncoder(tokenizerOf(shipped))(train.join('\n\n'));
    expect(Buffer.from(whole.buffer).equals(Buffer.from((tokens.train as Int32Array).buffer))).toBe(true);
    expect(progress.length).toBeGreaterThan(7);
  });

  test('broken rows are counted when they are left out, and leave nothing when they are not', async () => {
    const lines = Array.from({ length: 40 }, (_, i) => (i % 10 === 3 ? '{"text": 3}' : JSON.stringify({ text: `${i} ${'word '.repeat(400)}` })));
    const path = join(cacheFolder, '..', 'broken.jsonl');
    await writeFile(path, `${lines.join('\n')}\n{"text": "cut`);
    const before = await readdir(cacheFolder);
    await expect(tokenizeCorpus(await loadCorpus(path), tokenizerOf(shipped), { cacheFolder })).rejects.toThrow('line 4: expected an object with a string "text"');
    expect(await readdir(cacheFolder)).toEqual(before);
    const { description } = await tokenizeCorpus(await loadCorpus(path, { skipBroken: true }), tokenizerOf(shipped), { cacheFolder });
    expect(description).toContain('train 33, validation 2, test 1 documents');
    expect(description).toMatch(/; 5 broken rows left out$/);
  });

  test('works where nothing can be written', async () => {
    const path = join(cacheFolder, '..', 'broken.jsonl');
    const tokens = await tokenizeCorpus(corpus, tokenizerOf(shipped), { cacheFolder: path });
    expect(tokens.validation.length).toBeGreaterThan(0);
  });
});

test('tokens in a file are windows like those in memory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mixsga-tokens-'));
  const ids = Int32Array.from({ length: 1000 }, (_, i) => i * 70_001);
  await writeFile(join(folder, 'ids.bin'), new Uint8Array(ids.buffer));
  const file = new FileTokens(join(folder, 'ids.bin'), 1000);
  expect(file.subarray(990, 1000)).toEqual(ids.subarray(990, 1000));
  const options = { batchSize: 3, sequenceLength: 7, seed: 5 };
  const [inFile, inMemory] = [new BatchSampler(file, options), new BatchSampler(ids, options)];
  for (let i = 0; i < 60; i++) expect(inFile.next()).toEqual(inMemory.next());
  expect(inFile.state()).toEqual(inMemory.state());
  expect(() => file.subarray(995, 1001)).toThrow(/ids.bin: expected 1000 tokens, got fewer/);
  file.close();
  await rm(folder, { recursive: true });
});

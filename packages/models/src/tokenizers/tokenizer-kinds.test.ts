// Tokenizers with the components of the published ones, held to what the Python library makes of the same texts.
import { FileError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import expected from '../fixtures/tokenizers/expected.json';
import gemma2 from '../fixtures/tokenizers/gemma-2.json';
import llama2 from '../fixtures/tokenizers/llama-2.json';
import llama2Metaspace from '../fixtures/tokenizers/llama-2-metaspace.json';
import llama3 from '../fixtures/tokenizers/llama-3.json';
import opt from '../fixtures/tokenizers/opt.json';
import smollm from '../fixtures/tokenizers/smollm.json';
import { TextStream } from '../generation/text-stream';
import { createTokenizer, expectTokenizerFits } from './tokenizer';

const { texts } = expected;
const plain = { addSpecialTokens: false };

const kinds = [
  { kind: 'opt', json: opt, bos: '</s>', byteFallback: false },
  { kind: 'llama-3', json: llama3, bos: '<|begin_of_text|>', byteFallback: false },
  { kind: 'smollm', json: smollm, bos: null, byteFallback: false },
  { kind: 'llama-2', json: llama2, bos: '<s>', byteFallback: true },
  { kind: 'llama-2-metaspace', json: llama2Metaspace, bos: '<s>', byteFallback: true },
  { kind: 'gemma-2', json: gemma2, bos: '<bos>', byteFallback: true },
] as const;

describe.each(kinds)('$kind', ({ kind, json, bos, byteFallback }) => {
  const tokenizer = createTokenizer(json);
  const reference = expected.kinds[kind];
  const runs = reference.decoded as [ids: number[], text: string, withoutSpecial: string][];

  it.each(texts.map((text, i) => ({ text, i })))('gives the ids of the reference for $text', ({ text, i }) => {
    expect(tokenizer.encode(text)).toEqual(reference.ids[i]);
    expect(tokenizer.encode(text, plain)).toEqual(reference.plain[i]);
  });

  it('decodes runs of ids to the texts of the reference', () => {
    let compared = 0;
    for (const [ids, text, withoutSpecial] of runs) {
      // Python's byte fallback gives up whole characters beside bytes that are none; see below.
      if (byteFallback && text.includes('\ufffd')) continue;
      expect([ids, tokenizer.decode(ids)]).toEqual([ids, text]);
      expect([ids, tokenizer.decode(ids, { skipSpecialTokens: true })]).toEqual([ids, withoutSpecial]);
      compared++;
    }
    expect(compared).toBeGreaterThan(70);
  });

  it('puts BOS before a text once, and not when asked not to', () => {
    const bosId = bos === null ? undefined : tokenizer.tokenId(bos)!;
    const whole = tokenizer.encode('the States');
    const bare = tokenizer.encode('the States', plain);
    expect(whole).toEqual(bosId === undefined ? bare : [bosId, ...bare]);
    expect(bare).not.toContain(bosId);
    expect(tokenizer.encode('')).toEqual(bosId === undefined ? [] : [bosId]);
  });

  it('takes a lone surrogate as U+FFFD', () => {
    for (const lone of ['a\ud800b', 'a\udc00', '\udc00\ud800 \ud83d']) {
      expect(tokenizer.encode(lone)).toEqual(tokenizer.encode(lone.replace(/\p{Surrogate}/gu, '\ufffd')));
    }
  });

  it('gives a text token by token without half a character', () => {
    for (const text of texts) {
      const ids = tokenizer.encode(text, plain);
      const stream = new TextStream(tokenizer);
      const pieces = [...ids.map((id) => stream.push(id)), stream.end()];
      expect(pieces.join('')).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
      if (text.includes('\ufffd')) continue;
      for (const piece of pieces) expect(piece).not.toMatch(/\ufffd|\p{Surrogate}/u);
    }
  });

  it('gives any tokens after a prompt one by one as it decodes them at once', () => {
    const prompt = tokenizer.encode('the States');
    const special = json.added_tokens.map(({ id }) => id);
    const id = fc.oneof(
      fc.nat(tokenizer.vocabularySize - 1), fc.nat(270), fc.constantFrom(...special), fc.constantFrom(...tokenizer.encode(' 日👨 a', plain)),
    );
    fc.assert(
      fc.property(fc.array(id, { maxLength: 60 }), (ids) => {
        const stream = new TextStream(tokenizer, [], prompt);
        const text = ids.map((next) => stream.push(next)).join('') + stream.end();
        expect(`the States${text}`).toBe(tokenizer.decode([...prompt, ...ids], { skipSpecialTokens: true }));
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('continues a prompt as the text of both together', () => {
    for (const text of texts) {
      const ids = tokenizer.encode(text, plain);
      const whole = tokenizer.decode(ids, { skipSpecialTokens: true });
      for (const cut of [1, ids.length >> 1, ids.length - 1]) {
        const before = tokenizer.decode(ids.slice(0, cut), { skipSpecialTokens: true });
        // Where the prompt ends inside a character, what it has of that is given with the rest of it.
        if (cut < 1 || before.includes('\ufffd')) continue;
        const stream = new TextStream(tokenizer, [], ids.slice(0, cut));
        expect(before + ids.slice(cut).map((id) => stream.push(id)).join('') + stream.end()).toBe(whole);
      }
    }
  });

  it('is refused by a model of a smaller vocabulary', () => {
    const { size } = reference;
    expect(tokenizer.vocabularySize).toBe(size);
    expect(() => expectTokenizerFits(tokenizer, size, 'm/tokenizer.json')).not.toThrow();
    expect(() => expectTokenizerFits(tokenizer, size + 7, 'm/tokenizer.json')).not.toThrow();
    expect(() => expectTokenizerFits(tokenizer, size - 1, 'm/tokenizer.json')).toThrow(FileError);
    expect(() => expectTokenizerFits(tokenizer, size - 1, 'm/tokenizer.json')).toThrow(
      `m/tokenizer.json: expected at most ${size - 1} tokens, the model's vocab_size, got ${size}; is it this model's tokenizer?`,
    );
  });
});

describe('byte fallback', () => {
  const tokenizer = createTokenizer(llama2);
  const bytes = (...values: number[]) => values.map((byte) => tokenizer.tokenId(`<0x${byte.toString(16).toUpperCase()}>`)!);
  const whole = bytes(0xe6, 0x97, 0xa5); // 日
  const half = bytes(0xe6, 0x9c);

  it('keeps whole characters beside half ones, where Python gives U+FFFD for each byte of the run', () => {
    expect(tokenizer.decode(whole)).toBe('日');
    expect(tokenizer.decode([...whole, ...half])).toBe('日\ufffd'); // Python: 5 U+FFFD
    expect(tokenizer.decode([...half, ...whole])).toBe('\ufffd日');
  });

  it('keeps a byte order mark', () => {
    expect(tokenizer.decode([tokenizer.tokenId('a')!, ...bytes(0xef, 0xbb, 0xbf)])).toBe('a\ufeff');
  });
});

import { Tokenizer } from '@huggingface/tokenizers';
import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OPT_SPECIAL_TOKENS, trainBpe, type BpeTokenizerJson } from './bpe';
import python from './fixtures/python-tokenizers.json';
import { shippedTokenizer } from './fixtures/shipped-tokenizer';
import { readSotu } from './sotu';
import { splitAddresses } from './split';

const ODD_TEXTS = [
  'emoji 😀👍🏽👩‍👩‍👧 and flags 🇪🇺',
  '日本語のテキスト、中文，한국어',
  'NUL \0 and other controls \x01\x1f\x7f\u0085\u200b\ufeff',
  "can't WE'LL they'd 's '' x'y",
  ' leading,   runs\t\tof \n\n\n white space \r\n and a trailing one ',
  'ﬁ ligature, é as e\u0301, ½ ² Ⅷ ٣',
];

function encoder(json: BpeTokenizerJson): { encode: (text: string) => number[]; decode: (ids: number[]) => string } {
  const tokenizer = new Tokenizer(JSON.parse(JSON.stringify(json)) as object, {});
  return {
    encode: (text) => tokenizer.encode(text).ids,
    decode: (ids) => (ids.length === 0 ? '' : tokenizer.decode(ids, { clean_up_tokenization_spaces: false })),
  };
}

describe('trainBpe', () => {
  test('gives the merges and ids of the Python package tokenizers', async () => {
    const [oldest] = await readSotu();
    const json = trainBpe([oldest!.text, python.samples[0]!.text], 600);
    expect(json.model.merges.map((pair) => pair.join(' '))).toEqual(python.merges);
    const { encode } = encoder(json);
    for (const { text, ids } of python.samples) expect(encode(text)).toEqual(ids);
  });

  test('is the shipped tokenizer of sotu-mini, trained on the training part in seconds', async () => {
    const addresses = splitAddresses(await readSotu()).train;
    const start = performance.now();
    const json = trainBpe(addresses.map(({ text }) => text), 2048);
    expect(performance.now() - start).toBeLessThan(15_000);
    expect(json).toEqual(shippedTokenizer);
    expect(json.model.merges).toHaveLength(2048 - 256 - OPT_SPECIAL_TOKENS.length);
  });

  test('round trip of any text, whatever it was trained on', () => {
    const { encode, decode } = encoder(trainBpe([...ODD_TEXTS, ...ODD_TEXTS], 400));
    for (const text of ODD_TEXTS) expect(decode(encode(text))).toBe(text);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(decode(encode(text))).toBe(text);
      }),
    );
  });

  test('every id below the size is one token, special tokens first, as OPT has them', () => {
    const json = trainBpe(['abc abc abcd abcd'], 300);
    const ids = Object.values(json.model.vocab);
    expect(ids).toEqual(expect.arrayContaining([0, 1, 2]));
    expect([...ids].sort((a, b) => a - b)).toEqual(ids.map((_, i) => i));
    expect(json.added_tokens.map(({ id, content }) => [content, id])).toEqual([
      ['<s>', 0],
      ['<pad>', 1],
      ['</s>', 2],
    ]);
  });

  test('merges the most frequent pair, of equals the one of smaller ids, and stops when none occurs twice', () => {
    const merges = (text: string, options = {}): string[] =>
      trainBpe([text], 400, options).model.merges.map((pair) => pair.join('+'));
    expect(merges('xyxyxy')).toEqual(['x+y', 'xy+xy']);
    expect(merges('aaaa\nbb\nbb')).toEqual(['a+a', 'b+b']);
    expect(merges('dc\nba\ndc\nba')).toEqual(['b+a', 'd+c']);
    expect(merges('abcdef')).toEqual([]);
  });

  test('special tokens and progress', () => {
    const seen: number[][] = [];
    const json = trainBpe(['text text'], 260, {
      specialTokens: ['<end>'],
      onProgress: (size, wanted) => seen.push([size, wanted]),
    });
    expect(json.model.vocab['<end>']).toBe(0);
    expect(seen).toEqual([[260, 260]]);
  });

  test('refuses a vocabulary without room for the bytes', () => {
    expect(() => trainBpe(['text'], 258)).toThrow('at least 259 (3 special tokens and 256 bytes), got 258');
    expect(() => trainBpe(['text'], NaN)).toThrow(ArgumentError);
  });
});

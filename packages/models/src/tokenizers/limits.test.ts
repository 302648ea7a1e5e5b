// Limits of tokenizers, each to the last one that is taken and the first that is not.
import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from './tokenizer';
import { LinearRegex } from './linear-regex';

const word = { type: 'WordLevel', vocab: { a: 0, b: 1, aa: 2, '[UNK]': 3 }, unk_token: '[UNK]' };
const bpe = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2, aba: 3, bb: 4 }, merges: ['a b', 'ab a', 'b b'] };

describe('patterns', () => {
  it.each<[string, string, string, string]>([
    ['groups in 100 groups', `${'(?:'.repeat(100)}a${')'.repeat(100)}`, `${'(?:'.repeat(101)}a${')'.repeat(101)}`, 'groups are nested too deep'],
    ['lookaheads of 8 characters', 'a(?=b{8})', 'a(?=b{9})', 'a lookahead of more than 8 characters is not read'],
    ['10,000 instructions', 'a{10000}', 'a{10001}', 'it is too large'],
    ['up to 5,000 that need not be', 'a{0,5000}', 'a{0,5001}', 'it is too large'],
    ['lookbehinds of a character', '(?<=[ab])b', '(?<=[ab]?)b', 'a lookbehind of other than one character is not read'],
  ])('have %s', (_, taken, refused, message) => {
    expect(() => new LinearRegex(taken)).not.toThrow();
    expect(() => new LinearRegex(refused)).toThrow(new SyntaxError(message));
  });

  it('match what they say, as often as they say', () => {
    expect(new LinearRegex('a{3,5}').matches('a'.repeat(14))).toEqual([[0, 5], [5, 10], [10, 14]]);
    expect(new LinearRegex('a{3,5}?').matches('a'.repeat(8))).toEqual([[0, 3], [3, 6]]);
    expect(new LinearRegex('a{2,}').matches('a aa aaaa')).toEqual([[2, 4], [5, 9]]);
    expect(new LinearRegex('a{2,}?').matches('aaaaa')).toEqual([[0, 2], [2, 4]]);
    expect(new LinearRegex('(?:ab){2}').matches('ababab')).toEqual([[0, 4]]);
    expect(new LinearRegex('b(?=a{8})').matches(`b${'a'.repeat(7)}b${'a'.repeat(8)}`)).toEqual([[8, 9]]);
    expect(new LinearRegex('😀(?=😀{8})').matches('😀'.repeat(10))).toEqual([[0, 2], [2, 4]]);
    expect(new LinearRegex('(?<=😀)a|(?<!😀)b').matches('😀a😀bba')).toEqual([[2, 3], [6, 7]]);
    expect(new LinearRegex('(?<=a)b').matches('bab')).toEqual([[2, 3]]);
    expect(new LinearRegex('').matches('a😀')).toEqual([[0, 0], [1, 1], [3, 3]]);
  });

  it('take long over a long text, and too long over a hard one', () => {
    const far = new LinearRegex('a[\\s\\S]*b|a');
    expect(far.matches('a'.repeat(1000))).toHaveLength(1000);
    expect(far.matches(`${'a'.repeat(50_000)}b`)).toEqual([[0, 50_001]]);
    expect(() => far.matches('a'.repeat(10_000))).toThrow(new RangeError('it takes too long on this text'));
  });
});

describe('a tokenizer.json', () => {
  it.each<[string, (at: number) => unknown, number, string]>([
    ['ids', (id) => ({ model: { ...word, vocab: { ...word.vocab, far: id } } }), 2 ** 22, 'model.vocab.far: expected an id, a whole number from 0 to 4194304, got 4194305'],
    ['patterns', (length) => ({ model: word, pre_tokenizer: { type: 'Split', pattern: { Regex: 'a'.repeat(length) }, behavior: 'Isolated', invert: false } }), 4096, 'pre_tokenizer.pattern.Regex: expected at most 4096, got "aaa'],
    ['words', (limit) => ({ model: { ...word, type: 'WordPiece', continuing_subword_prefix: '##', max_input_chars_per_word: limit } }), 1000, 'model.max_input_chars_per_word: expected at most 1000, got 1001'],
  ])('has %s up to a limit', (_, jsonOf, limit, message) => {
    expect(() => createTokenizer(jsonOf(limit))).not.toThrow();
    expect(() => createTokenizer(jsonOf(limit + 1))).toThrow(FileError);
    expect(() => createTokenizer(jsonOf(limit + 1))).toThrow(message);
  });

  it('replaces up to 4,194,304 characters', () => {
    const { encode } = createTokenizer({ model: { ...word, vocab: { a: 0, '[UNK]': 3 } }, normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'aa' } });
    expect(encode('a'.repeat(2 ** 21))).toEqual([3]);
    expect(() => encode('a'.repeat(2 ** 21 + 1))).toThrow('normalizer.content: expected texts of at most 4194304 characters, got 2097153 times 2');
  });

  it('takes words of as many characters as it says, and no more', () => {
    const model = { type: 'WordPiece', vocab: { a: 0, '##a': 1, '[UNK]': 2 }, unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 3 };
    const { encode } = createTokenizer({ model, pre_tokenizer: { type: 'WhitespaceSplit' } });
    expect(encode('a aaa aaaa b ab')).toEqual([0, 0, 1, 1, 2, 2, 2]);
  });

  it('gives a word the same ids however many came before', () => {
    const tokenizer = createTokenizer({ model: bpe, pre_tokenizer: { type: 'WhitespaceSplit' } });
    const wordOf = (i: number) => i.toString(2).replaceAll('0', 'a').replaceAll('1', 'b');
    const ids = (text: string) => createTokenizer({ model: bpe }).encode(text);
    const all = Array.from({ length: 10_050 }, (_, i) => wordOf(i + 1));
    tokenizer.encode(all.join(' '));
    for (const i of [0, 1, 9_998, 9_999, 10_000, 10_049]) expect(tokenizer.encode(all[i]!)).toEqual(ids(all[i]!));
    const long = 'ab'.repeat(400);
    expect(tokenizer.encode(`${long} ${long}`)).toEqual([...ids(long), ...ids(long)]);
  });

  it('merges by rank, from the left, along a word of any length', () => {
    const { encode } = createTokenizer({ model: bpe });
    expect(['', 'a', 'ba', 'ab', 'aba', 'abab', 'abba', 'bbb', 'babab'].map((text) => encode(text).join(' '))).toEqual(['', '0', '1 0', '2', '3', '2 2', '2 1 0', '4 1', '1 2 2']);
    // Every a b first; then each of these takes the a behind it, but the last.
    expect(encode('aab'.repeat(500))).toEqual([0, ...new Array<number>(499).fill(3), 2]);
  });
});

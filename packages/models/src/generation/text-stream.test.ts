import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import json from '../fixtures/tokenizer.json';
import { createTokenizer } from '../tokenizers/tokenizer';
import { TextStream } from './text-stream';

const tokenizer = createTokenizer(json);
const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
const decode = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: true });

/** The pieces that a stream gives, the last from `end`. */
function pieces(ids: readonly number[], stopStrings?: readonly string[]): string[] {
  const stream = new TextStream(tokenizer, stopStrings);
  return [...ids.map((id) => stream.push(id)), stream.end()];
}

/** Decodes each character of a text as a token of its own. */
const letters = { decode: (ids: ArrayLike<number>) => String.fromCodePoint(...Array.from(ids)) };
const lettersOf = (text: string) => Array.from(text, (letter) => letter.codePointAt(0)!);

describe('TextStream', () => {
  it('gives whole characters only, and all of the text', () => {
    const text = 'é 日本語 👨‍👩‍👧!';
    const stream = new TextStream(tokenizer);
    const given = encode(text).map((id) => stream.push(id));
    expect(given.length).toBeGreaterThan(Array.from(text).length);
    for (const piece of given) expect(piece).not.toContain('\ufffd');
    expect(given.join('')).toBe(text);
    expect(stream.end()).toBe('');
  });

  it('gives what is decoded at once, for any tokens', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabularySize - 1), { maxLength: 120 }), (ids) => {
        expect(pieces(ids).join('')).toBe(decode(ids));
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('gives what is decoded at once, for bytes that are no text', () => {
    // Tokens of the first bytes of characters, of the bytes that go on, and of letters.
    const bytes = ['é', '日', '👨', '\u{10ffff}', 'a'].flatMap((text) => encode(text));
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...new Set(bytes)), { maxLength: 120 }), (ids) => {
        expect(pieces(ids).join('')).toBe(decode(ids));
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('holds back what may become a character, and gives it in the end', () => {
    const [first, second, third] = encode('日');
    expect(third).toBeDefined();
    expect(pieces([...encode('a'), first!, second!])).toEqual(['a', '', '', '\ufffd']);
    expect(pieces([first!, second!, third!])).toEqual(['', '', '日', '']);
    expect(pieces([first!, ...encode('b')])).toEqual(['', '\ufffdb', '']);
  });

  it('takes time linear in the tokens, also where no character is ever whole', () => {
    for (const id of [encode('日')[0]!, encode('a')[0]!]) {
      let decoded = 0;
      const counting = {
        decode(ids: ArrayLike<number>) {
          decoded += ids.length;
          return decode(Array.from(ids));
        },
      };
      const stream = new TextStream(counting);
      let text = '';
      for (let i = 0; i < 2000; i++) text += stream.push(id);
      expect(decoded).toBeLessThan(2000 * 20);
      expect(text + stream.end()).toBe(decode(new Array<number>(2000).fill(id)));
    }
  });

  it('leaves special tokens out', () => {
    expect(pieces([2, ...encode('We'), 2]).join('')).toBe('We');
  });

  it('works where a decoder gives U+FFFD for each byte', () => {
    // Bytes as ids; a whole character is decoded, and other bytes become U+FFFD one by one.
    const perByte = {
      decode: (ids: ArrayLike<number>) =>
        Buffer.from(Array.from(ids)).toString('latin1').replace(/[\xf0-\xf4][\x80-\xbf]{3}|[\x80-\xff]/g, (bytes) =>
          bytes.length === 1 ? '\ufffd' : Buffer.from(bytes, 'latin1').toString(),
        ),
    };
    const stream = new TextStream(perByte);
    expect([...Buffer.from('a😀b')].map((byte) => stream.push(byte))).toEqual(['a', '', '', '', '😀', 'b']);
  });
});

describe('stop strings', () => {
  it('end the text across the borders of tokens', () => {
    const stream = new TextStream(letters, ['stop']);
    const given = lettersOf('so stoic, stop it').map((letter) => stream.push(letter));
    expect(given.join('')).toBe('so stoic, ');
    // “s”, “st”, “sto” are held back, and given when they turn out to be something else.
    expect(given.slice(0, 9)).toEqual(['', 'so', ' ', '', '', '', 'stoi', 'c', ',']);
    expect(stream.stopped).toBe(true);
    expect(stream.end()).toBe('');
  });

  it('are given where the text ends inside one', () => {
    const stream = new TextStream(letters, ['stop']);
    expect(lettersOf('a sto').map((letter) => stream.push(letter)).join('')).toBe('a ');
    expect(stream.end()).toBe('sto');
    expect(stream.stopped).toBe(false);
  });

  it('are found in the rest of an unfinished character', () => {
    const stream = new TextStream(tokenizer, ['\ufffd']);
    expect(stream.push(encode('日')[0]!)).toBe('');
    expect(stream.end()).toBe('');
    expect(stream.stopped).toBe(true);
  });

  it.each([
    ['xabcdy', ['abcd', 'bc'], 'xa'], // `bc` is whole first
    ['xabcy', ['bc', 'abc'], 'x'], // both at once: the longer one
    ['aaab', ['aab'], 'a'],
    ['ababac', ['abac', 'zzz'], 'ab'],
    ['日本語', ['語'], '日本'],
  ])('in %s, of %j, leave %j', (text, stopStrings, expected) => {
    for (const source of [letters, tokenizer]) {
      const stream = new TextStream(source, stopStrings);
      const ids = source === letters ? lettersOf(text) : encode(text);
      expect(ids.map((id) => stream.push(id)).join('') + stream.end()).toBe(expected);
      expect(stream.stopped).toBe(true);
    }
  });

  it('give the same text wherever tokens end', () => {
    const letter = fc.constantFrom('a', 'b', 'c');
    const word = fc.string({ unit: letter, minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), fc.array(word, { maxLength: 3 }), (tokens, stopStrings) => {
        const words = { decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => tokens[id]!).join('') };
        const stream = new TextStream(words, stopStrings);
        let given = '';
        for (let id = 0; id < tokens.length; id++) given += stream.push(id);
        given += stream.end();
        expect(given).toBe(untilFirst(tokens.join(''), stopStrings));
        for (const stop of stopStrings) expect(given).not.toContain(stop);
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it('must not be empty', () => {
    expect(() => new TextStream(tokenizer, ['a', ''])).toThrow(ArgumentError);
    expect(() => new TextStream(tokenizer, ['a', ''])).toThrow('generate: expected stop strings of 1 character or more, got ""');
  });
});

describe('special tokens as stop strings', () => {
  const pad = tokenizer.tokenId('<pad>')!;
  const [first] = encode('日');
  it.each<[string, string[], number[], string]>([
    ['one itself', ['<pad>'], [...encode('a b'), pad, ...encode('c')], 'a b'],
    ['at once', ['<pad>'], [pad], ''],
    ['with the text around it', ['b<pad>c'], [...encode('a b'), pad, ...encode('cd')], 'a '],
    ['two of them', ['<pad><pad>'], [...encode('a'), pad, pad], 'a'],
    ['after half a character', ['<pad>'], [...encode('a'), first!, pad], 'a\ufffd'],
  ])('%s', (_, stopStrings, ids, text) => {
    const stream = new TextStream(tokenizer, stopStrings);
    let given = '';
    for (const id of ids) if (!stream.stopped) given += stream.push(id);
    expect(stream.stopped).toBe(true);
    expect(given + stream.end()).toBe(text);
  });

  it('are no text where they do not stop', () => {
    expect(pieces([...encode('a b'), pad, ...encode('ce')], ['b<pad>cd', '<pad><pad>']).join('')).toBe('a bce');
    expect(pieces([...encode('b'), pad], ['b<pad>c']).join('')).toBe('b');
    const [, ...rest] = encode('日');
    expect(pieces([first!, pad, ...rest], ['<pad>!']).join('')).toBe(decode([first!, pad, ...rest]));
  });
});

/** The text before the stop string that ends first, letter by letter. */
function untilFirst(text: string, stopStrings: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const ending = stopStrings.filter((stop) => text.slice(0, end).endsWith(stop));
    if (ending.length > 0) return text.slice(0, end - Math.max(...ending.map(({ length }) => length)));
  }
  return text;
}

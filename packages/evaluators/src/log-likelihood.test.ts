import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it, vi } from 'vitest';

import { continuationWindow, rollingWindows, scoreWindows, tokensOfText } from './log-likelihood';
import { BigramModel, type BigramOptions } from './testing';

/** `<`, `a` to `g`, and the space; `<` begins texts where it is asked to. */
const CHARACTERS = '<abcdefg ';
const logits = Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => Math.sin(3 * i + 5 * j)));
const model = (options: Partial<BigramOptions> = {}) => new BigramModel({ logits, contextLength: 8, characters: CHARACTERS, ...options });
const withBos = () => model({ bos: 0 });
const textOf = ({ tokens }: { tokens: Int32Array }) => Array.from(tokens, (id) => CHARACTERS[id]).join('');

describe('continuationWindow', () => {
  const window = (subject: BigramModel, context: string, continuation: string) => {
    const { tokens, counted } = continuationWindow(subject, context, continuation, 'row');
    return [textOf({ tokens }), textOf({ tokens: tokens.slice(counted + 1) })];
  };

  it('counts the continuation, with the white space at the end of the context', () => {
    expect(window(model(), 'abc', ' de')).toEqual(['abc de', ' de']);
    expect(window(model(), 'abc  ', 'de')).toEqual(['abc  de', '  de']);
  });

  it('puts a BOS where the tokenizer does, once', () => {
    expect(window(withBos(), 'abc', ' de')).toEqual(['<abc de', ' de']);
    expect(window(withBos(), '<abc', ' de')).toEqual(['<abc de', ' de']);
  });

  it('begins with the prefix token where there is no context', () => {
    for (const subject of [model(), withBos()]) {
      expect(window(subject, '', 'de')).toEqual(['<de', 'de']);
      expect(window(subject, '', '<de')).toEqual(['<de', 'de']);
      expect(window(subject, ' ', 'de')).toEqual(['< de', ' de']);
    }
  });

  it('cuts from the left what does not fit: context length + 1 tokens stay', () => {
    expect(window(model(), 'abcdefgabc', ' de')).toEqual(['efgabc de', ' de']);
    expect(window(withBos(), 'abcdefgabc', ' de')).toEqual(['efgabc de', ' de']);
    expect(window(model(), 'abc', 'abcdefga')).toEqual(['cabcdefga', 'abcdefga']);
  });

  it('refuses continuations without a token and too long ones', () => {
    expect(() => continuationWindow(model(), 'abc', '', 'row')).toThrow(ArgumentError);
    expect(() => continuationWindow(model(), 'abc', '', 'row')).toThrow('expected a continuation of 1 to 8 tokens, the model\'s context length, got 0: ""');
    expect(() => continuationWindow(model(), 'a', 'abcdefgab', 'row')).toThrow('got 9: "abcdefgab"');
  });

  it('needs a token that begins a text only where there is no other', () => {
    const without = Object.assign(model(), { prefixToken: null });
    expect(() => continuationWindow(without, '', 'a', 'row')).toThrow('expected a model with a token that begins a text');
    expect(window(without, 'ab', 'c')).toEqual(['abc', 'c']);
  });
});

describe('rollingWindows', () => {
  const windows = async (subject: BigramModel, text: string) =>
    (await rollingWindows(subject, text, 'row')).map(({ tokens, counted }) => [textOf({ tokens }), textOf({ tokens: tokens.slice(counted + 1) })]);

  it('predict every token once, the last window as long as the others', async () => {
    expect(await windows(model(), 'abc')).toEqual([['<abc', 'abc']]);
    expect(await windows(model(), 'abcdefga')).toEqual([['<abcdefga', 'abcdefga']]);
    expect(await windows(model(), 'abcdefga bcdefgabcde')).toEqual([
      ['<abcdefga', 'abcdefga'],
      ['a bcdefga', ' bcdefga'],
      ['defgabcde', 'bcde'],
    ]);
    expect(await windows(model(), '')).toEqual([]);
  });

  it('take a BOS of the tokenizer for a token of the text, as the harness does', async () => {
    expect(await windows(withBos(), 'abc')).toEqual([['<<abc', '<abc']]);
    expect(await windows(withBos(), '<abc')).toEqual([['<<abc', '<abc']]);
  });
});

describe('the tokens of a text', () => {
  it('begin with the prefix token', async () => {
    const subject = Object.assign(model(), { prefixToken: 3 });
    expect([...(await tokensOfText(subject, 'ab'))]).toEqual([3, 1, 2]);
    expect([...(await tokensOfText(subject, ''))]).toEqual([3]);
    await expect(tokensOfText(Object.assign(model(), { prefixToken: null }), 'ab')).rejects.toEqual(
      new ArgumentError('log-likelihood: expected a model with a token that begins a text (BOS or end of text), got one with neither'),
    );
  });
});

describe('scoreWindows', () => {
  it('sums what is counted, and knows what is greedy, whatever the batch', async () => {
    const subject = model();
    const likeliest = (count: number) => Array.from({ length: count }).reduce<number[]>((row) => [...row, subject.likeliest(row.at(-1)!)], [1]);
    const windows = [
      { tokens: Int32Array.from(likeliest(5)), counted: 0 },
      { tokens: Int32Array.of(0, 1, 2, 3, 4, 5), counted: 2 },
      { tokens: Int32Array.of(8, ...likeliest(3)), counted: 1 },
      { tokens: Int32Array.of(1, 2), counted: 0 },
    ].map((window) => ({ ...window, where: 'row' }));
    const logP = (from: number, to: number) => logits[from]![to]! - Math.log(logits[from]!.reduce((sum, x) => sum + Math.exp(x), 0));
    const scores = await scoreWindows(subject, windows, { routing: 'decode' });
    windows.forEach(({ tokens, counted }, i) => {
      const expected = [...tokens].slice(counted, -1).reduce((sum, token, t) => sum + logP(token, tokens[counted + t + 1]!), 0);
      expect(scores[i]!.logLikelihood).toBeCloseTo(expected, 5);
    });
    expect(scores.map(({ greedy }) => greedy)).toEqual([true, false, true, false]);
    const likelihood = vi.spyOn(subject, 'likelihood');
    const shapes = async (lengths: number[], batchSize: number) => {
      likelihood.mockClear();
      await scoreWindows(subject, lengths.map((length) => ({ tokens: new Int32Array(length), counted: 0 })), { routing: 'decode', batchSize });
      return likelihood.mock.calls.map(([inputs, , { windows: count }]) => [count, inputs.length / count]);
    };
    expect(await shapes([3, 2, 4, 2, 3, 2], 8)).toEqual([[3, 1], [2, 2], [1, 3]]);
    expect(await shapes([3, 2, 3, 2, 3, 2], 3)).toEqual([[3, 1], [3, 2]]);
    for (const batchSize of [1, 3]) expect(await scoreWindows(subject, windows, { routing: 'decode', batchSize })).toEqual(scores);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinearRegex } from './linear-regex';

/** By the engine of JavaScript, which goes back and tries again; an empty match where another ends is none. */
function native(source: string, text: string): [number, number][] {
  const found: [number, number][] = [];
  for (const { index, 0: match } of text.matchAll(new RegExp(source, 'gu'))) {
    if (match !== '' || found.at(-1)?.[1] !== index) found.push([index, index + match.length]);
  }
  return found;
}

describe('LinearRegex', () => {
  it.each([
    'a|ab', 'ab|a', 'a*', 'a+?b', '(?:a|ab)(?:c|bcd)', '(a+)+b', '(?:a|b)*?c', 'a{2,3}', 'a{2}?b', 'a{0,2}b', '[^ab]+|a', '\\p{L}+\\s?', '\\s+(?!\\S)|\\s+',
    '(?<![\\s\\S])a', 'a(?![\\s\\S])', '(?<=a)b', '(?<!a)b', '(?=ab)a', '(?:(?=[ab])[bc])+', '(?:a?b?)*c', '(?<name>a)b|\\u{1f600}', '[😀-😂]+|a', '', '(?:)*a', 'a||b',
  ])('finds what a backtracking engine finds by %s', (source) => {
    const regex = new LinearRegex(source);
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', ' ', '\n', '😀', 'é'), maxLength: 20 });
    const agree = fc.property(text, (each) => {
      expect([each, regex.matches(each)]).toEqual([each, native(source, each)]);
    });
    fc.assert(agree, { seed: 7, numRuns: 100 });
  });

  it('finds what a backtracking engine finds by any pattern', () => {
    const pattern = fc.letrec<{ node: string }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4, depthSize: 'small' },
        fc.constantFrom('a', 'b', '[ab]', '[^a]', '\\p{L}', 'c'),
        fc.tuple(tie('node'), tie('node')).map((parts) => parts.join('')),
        fc.tuple(tie('node'), tie('node')).map((parts) => `(?:${parts.join('|')})`),
        fc.tuple(tie('node'), fc.constantFrom('?', '+', '*', '{2}', '{1,2}', '??', '+?', '*?')).map(([node, quantifier]) => `(?:${node})${quantifier}`),
        fc.constantFrom('(?=a)', '(?!b)', '(?<=a)', '(?<!b)'),
      ),
    })).node;
    fc.assert(
      fc.property(pattern, fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), maxLength: 10 }), (source, text) => {
        // Where a repeated part can be empty, engines differ in when they leave the loop.
        fc.pre(!repeatsEmpty(source));
        expect([source, text, new LinearRegex(source).matches(text)]).toEqual([source, text, native(source, text)]);
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it('takes linear time where going back takes exponential time', () => {
    for (const source of ['(a+)+(?![\\s\\S])', '(?:a|a)*b', '(?:a*)*b', '(?:a|aa)+c']) {
      expect(new LinearRegex(source).matches(`${'a'.repeat(2000)}!`).length).toBeLessThan(2001);
    }
  });

  it('gives up where matches look far ahead again and again', () => {
    expect(() => new LinearRegex('a[^]*b|a'.replace('[^]', '[\\s\\S]')).matches('a'.repeat(20_000))).toThrow('it takes too long on this text');
  });

  it.each([
    ['(a)\\1', '\\1 is not read'],
    ['a\\b', '\\b is not read'],
    ['(?<=ab)c', 'a lookbehind of other than one character'],
    ['(?=a*)b', 'a lookahead of more than 8 characters'],
    ['(a', 'a group is not closed'],
    ['a)', 'a bracket is closed that was not opened'],
    ['*a', '*a is not read'],
    ['a{99999}', 'it is too large'],
    ['(?:(?:(?:a{99}){99}){99}){99}', 'it is too large'],
    ['(?:(?:(?:){9999}){9999}){9999}a{99999999999}', 'it is too large'],
    ['(?:'.repeat(200) + ')'.repeat(200), 'groups are nested too deep'],
    ['a**', 'a quantifier of a quantifier'],
  ])('refuses %s', (source, message) => expect(() => new LinearRegex(source)).toThrow(message));
});

/** Whether a group that is repeated, or need not be there, can be empty. */
function repeatsEmpty(source: string): boolean {
  for (const { index } of source.matchAll(/\)[*+?{]/g)) {
    let depth = 0;
    for (let at = index; at >= 0; at--) {
      if (source[at] === ')') depth++;
      if (source[at] === '(' && --depth === 0) {
        if (new RegExp(`^${source.slice(at, index + 1)}$`, 'u').test('')) return true;
        break;
      }
    }
  }
  return false;
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStrictJson } from './json';

describe('parseStrictJson', () => {
  it('agrees with JSON.parse', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, 2, '\t'), (text, space) => {
        const value: unknown = JSON.parse(text);
        const unsafe = /(?<![\d.eE+-])-?\d{16,}(?![.\deE])/.test(text);
        if (!unsafe) expect(JSON.stringify(parseStrictJson(JSON.stringify(value, null, space)))).toBe(JSON.stringify(value));
      }),
    );
  });

  it('takes __proto__ as a key like any other', () => {
    const value = parseStrictJson('{"__proto__": {"polluted": 1}, "a": 2}') as object;
    expect(Object.keys(value)).toEqual(['__proto__', 'a']);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it.each([
    ['{"a": 1, "a": 2}', 'byte 9: expected each key once'],
    ['9007199254740993', 'byte 0: expected a whole number of at most 2^53 - 1'],
    ['[1, 2', "expected ',' or ']', got the end"],
    ['{"a" 1}', "expected ':', got \"1}\""],
    ['"a\nb"', 'expected a string'],
    ['01', 'expected a value, got "01"'],
    ['nul', 'expected a value'],
    ['', 'expected a value, got the end'],
    ['['.repeat(100_000), 'expected at most 64 levels'],
  ])('refuses %.20s', (text, message) => expect(() => parseStrictJson(text)).toThrow(message));
});

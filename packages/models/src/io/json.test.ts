import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonReader, parseStrictJson } from './json';

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
    ['[1,]', 'JSON at byte 3: expected a value, got "]"'],
    ['{"a":1,}', 'JSON at byte 7: expected a string, got "}"'],
    ['{"a":1', "JSON at byte 6: expected ',' or '}', got the end"],
    ['{"a"', "JSON at byte 4: expected ':', got the end"],
    ['truex', 'JSON at byte 4: expected the end, got "x"'],
    ['1 \u00a02', 'JSON at byte 2: expected the end, got'],
    ['"a\\x"', 'JSON at byte 0: expected a string'],
    ['"a\\"', 'JSON at byte 0: expected a string'],
    ['"\u001f"', 'JSON at byte 0: expected a string'],
    ['  ?23456789012345', 'JSON at byte 2: expected a value, got "?23456789012"'],
    ['-9007199254740992', 'expected a whole number of at most 2^53 - 1'],
    [`0.${'1'.repeat(128)}`, 'JSON at byte 129: expected the end, got "1"'],
  ])('refuses %.20s', (text, message) => expect(() => parseStrictJson(text)).toThrow(message));

  it.each<[string, unknown]>([
    ['9007199254740991', 2 ** 53 - 1], ['-9007199254740991', 1 - 2 ** 53], ['9007199254740993.0', 2 ** 53], ['1e300', 1e300], ['-0', -0], ['1E+2', 100],
    [`0.${'1'.repeat(127)}`, 1 / 9], [' \t\n\r[ \t\n\r] \t\n\r', []], ['[true , false,null]', [true, false, null]],
    ['"\\u0041\\"\\\\ \u007f\ufeff"', 'A"\\ \u007f\ufeff'], ['""', ''], [`[${'[],'.repeat(99)}{"a":[]}]`, [...Array.from({ length: 99 }, () => []), { a: [] }]],
  ])('reads %.20s', (text, value) => expect(JSON.stringify(parseStrictJson(text))).toBe(JSON.stringify(value)));

  it('takes 64 levels, of arrays and of objects', () => {
    for (const [open, close] of [['[', ']'], ['{"a":', '}']] as const) {
      const nested = (levels: number) => () => parseStrictJson(`${open.repeat(levels)}1${close.repeat(levels)}`);
      expect(nested(64)).not.toThrow();
      expect(nested(65)).toThrow('expected at most 64 levels');
    }
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(() => parseStrictJson(Uint8Array.of(0x20, 0x22, 0xc3, 0x22))).toThrow('JSON at byte 1: expected UTF-8 text');
  });
});

describe('JsonReader', () => {
  const reader = (text: string) => new JsonReader(new TextEncoder().encode(text));

  it('counts the values that one may be made of', () => {
    const read = (limit: number) => () => reader('{"a": [1, "b"], "c": {}}').value(limit);
    expect(read(5)).not.toThrow();
    expect(read(4)).toThrow('JSON at byte 20: expected at most 4 values, got " {}}"');
    expect(() => reader('1').value(0)).toThrow('expected at most 0 values');
  });

  it('counts keys, and bytes of keys and strings', () => {
    const keys = (limit: number, bytes: number) => () => {
      const of = reader('{"ab": 1, "é": 2}');
      const found: string[] = [];
      of.object((key) => found.push(`${key}${String(of.value())}`), limit, bytes);
      of.end();
      return found;
    };
    expect(keys(2, 2)()).toEqual(['ab1', 'é2']);
    expect(keys(1, 2)).toThrow('JSON at byte 10: expected at most 1 keys');
    expect(keys(2, 1)).toThrow('JSON at byte 1: expected a string of at most 1 bytes');
    expect(reader('{"ab": "é"}').value(9, 2)).toEqual({ ab: 'é' });
    expect(() => reader('{"ab": "abc"}').value(9, 2)).toThrow('JSON at byte 7: expected a string of at most 2 bytes');
    expect(() => reader('["ab", "abc"]').value(9, 2)).toThrow('JSON at byte 7: expected a string of at most 2 bytes');
    expect(() => reader('{"a": 1, "b": 2}').value(1)).toThrow('at most 1');
  });

  it('says whether an object comes next', () => {
    expect([' {}', '[]', '', ' '].map((text) => reader(text).atObject)).toEqual([true, false, false, false]);
    expect(() => reader('[]').object(() => undefined)).toThrow('JSON at byte 0: expected an object, got "[]"');
  });
});

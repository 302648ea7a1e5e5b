import { describe, expect, it } from 'vitest';

import { capitalize, codePoints, SPACE, splitEnd, strip } from './python-text';

// All expected values are what Python 3.11 gives.
describe('as in Python', () => {
  it.each([
    ['', ''],
    ['he LIFTS the Bow', 'He lifts the bow'],
    ['ÉTIENNE', 'Étienne'],
    ['ſhe', 'She'],
    ['ßX', 'Ssx'],
    ['ﬁX', 'Fix'],
    ['ǆABC', 'ǅabc'],
    ['ᾳA', 'ᾼa'],
    ['აA', 'აa'],
    ['𐐨𐐀', '𐐀𐐨'],
    ['ΑΣ', 'Ας'],
    ["'n ABC", "'n abc"],
    [', THE', ', the'],
  ])('capitalize %j', (text, expected) => {
    expect(capitalize(text)).toBe(expected);
  });

  it('white space is of 29 kinds', () => {
    const pattern = new RegExp(`^${SPACE}$`);
    const found = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code)).filter((c) => pattern.test(c));
    expect(found).toHaveLength(29);
    expect([found.includes('\x85'), found.includes('\x1f'), found.includes('\ufeff')]).toEqual([true, true, false]);
    expect(strip('\x85\u3000 a b\t\x1c')).toBe('a b');
    expect(strip('\ufeffa\ufeff')).toBe('\ufeffa\ufeff');
    expect(splitEnd('a b \u2003\n')).toEqual(['a b', ' \u2003\n']);
    expect(splitEnd('')).toEqual(['', '']);
  });

  it('length counts code points', () => {
    expect([codePoints('abc'), codePoints('🎉é'), codePoints('👩‍👩‍👧‍👦')]).toEqual([3, 2, 7]);
  });
});

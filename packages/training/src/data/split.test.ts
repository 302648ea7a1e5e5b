import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PART_NAMES, splitAddresses, splitDocuments } from './split';

const numbered = (n: number): string[] => Array.from({ length: n }, (_, i) => `document ${i}`);

test('addresses: the newest 12 test, every tenth of the others validation', () => {
  const parts = splitAddresses(Array.from({ length: 233 }, (_, i) => i));
  expect(parts.test).toEqual([221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232]);
  expect(parts.validation).toHaveLength(22);
  expect(parts.validation.every((i) => i % 10 === 9)).toBe(true);
  expect(parts.train).toHaveLength(199);
});

test('20 documents or more: each whole in exactly one part, 90/5/5', () => {
  fc.assert(
    fc.property(fc.integer({ min: 20, max: 300 }), (n) => {
      const parts = splitDocuments(numbered(n));
      expect(PART_NAMES.flatMap((part) => parts[part]).sort()).toEqual(numbered(n).sort());
      expect(Math.abs(parts.validation.length - n / 20)).toBeLessThanOrEqual(1);
      expect(Math.abs(parts.test.length - n / 20)).toBeLessThanOrEqual(1);
    }),
  );
});

test('fewer documents: cut by position at white space, nothing lost', () => {
  const words = Array.from({ length: 5000 }, (_, i) => `word${i}`);
  const parts = splitDocuments([words.slice(0, 2000).join(' '), words.slice(2000).join(' ')]);
  const texts = PART_NAMES.map((part) => parts[part].join(' '));
  expect(texts.join(' ').split(/\s+/)).toEqual(words);
  const total = texts.join('').length;
  expect(texts[0]!.length / total).toBeCloseTo(0.9, 2);
  expect(texts[1]!.length / total).toBeCloseTo(0.05, 2);
});

test('text without white space is cut between characters, never inside a surrogate pair', () => {
  for (const length of [1001, 1002, 1003, 1010, 1011]) {
    const text = `x${'😀'.repeat(length)}`;
    const parts = splitDocuments([text]);
    const pieces = PART_NAMES.flatMap((part) => parts[part]);
    expect(pieces.join('')).toBe(text);
    expect(pieces.map((piece) => Buffer.from(piece).toString())).toEqual(pieces); // lone surrogates would be replaced
  }
});

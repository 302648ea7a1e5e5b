import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { porterStem, rougeL } from './index';

type Pair = [kind: string, prediction: string, references: string[], precision: number, recall: number, fmeasure: number];

// Made by tools/make_rouge_fixtures.py with rouge_score and NLTK.
const file = readFileSync(new URL('../fixtures/rouge.json.gz', import.meta.url));
const fixtures = JSON.parse(gunzipSync(file).toString()) as { pairs: Pair[]; stems: Record<string, string> };
const kinds = [...new Set(fixtures.pairs.map(([kind]) => kind))];

describe('rougeL equals rouge_score', () => {
  it.each(kinds)('on every pair (%s)', (kind) => {
    const pairs = fixtures.pairs.filter((pair) => pair[0] === kind);
    for (const [, prediction, references, ...expected] of pairs) {
      const { precision, recall, fmeasure } = rougeL(prediction, references);
      [precision, recall, fmeasure].forEach((value, i) => {
        expect(Math.abs(value - expected[i]!), JSON.stringify({ prediction, references })).toBeLessThanOrEqual(1e-9);
      });
    }
  });

  it('on more than 1,200 pairs, with all kinds of scores', () => {
    expect(fixtures.pairs.length).toBeGreaterThan(1200);
    const scores = fixtures.pairs.map((pair) => pair[5]);
    for (let fifth = 0; fifth < 5; fifth++) {
      expect(scores.filter((score) => Math.min(4, Math.floor(score * 5)) === fifth).length).toBeGreaterThan(10);
    }
  });
});

describe('porterStem', () => {
  it('equals NLTK on 8,000 words', () => {
    const words = Object.keys(fixtures.stems);
    expect(words.length).toBeGreaterThan(8000);
    expect(Object.fromEntries(words.map((word) => [word, porterStem(word)]))).toEqual(fixtures.stems);
  });

  it.each([['dying', 'die'], ['skies', 'sky'], ['news', 'news'], ['flies', 'fli'], ['dies', 'die'], ['enjoy', 'enjoy'], ['constructor', 'constructor'], ['atally', 'atal'], ['tally', 'talli']])(
    'gives %s → %s',
    (word, stem) => {
      expect(porterStem(word)).toBe(stem);
    },
  );
});

describe('rougeL', () => {
  it('stems, and counts the longest common subsequence', () => {
    // 3 of 4 words, and of 5.
    const { precision, recall, fmeasure } = rougeL('The cats ran home', ['the cat, it ran: far']);
    expect([precision, recall]).toEqual([3 / 4, 3 / 5]);
    expect(fmeasure).toBeCloseTo((2 * 3) / 9, 12);
  });

  it('takes the best of several references, and of equals the first', () => {
    expect(rougeL('a b', ['c', 'a b c', 'a']).fmeasure).toBeCloseTo(0.8, 12);
    expect(rougeL('a b', ['a b c d', 'a']).recall).toBe(1 / 2); // both F1 are 2/3
    expect(rougeL('a b', ['a', 'a b c d']).recall).toBe(1);
  });

  it('refuses to score against nothing', () => {
    expect(() => rougeL('a', [])).toThrow(ArgumentError);
    expect(() => rougeL('a', [])).toThrow('rougeL: expected 1 reference or more, got none');
  });
});

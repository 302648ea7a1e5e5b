// Against the numbers of Python 3.11 and NumPy, which tools/make_retrieval_fixtures.py wrote.
import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { NumpyRandom, PythonRandom } from './python-random';
import { wordPair, wordPairs } from './word-pairs';

interface Numbers {
  readonly random: number[];
  readonly bits: number[];
  readonly uuid: string;
  readonly randint: number[];
  readonly below: number[];
  readonly choices: string;
  readonly samplePool: number[];
  readonly sampleSet: number[];
  readonly sampleAll: number[];
  readonly shuffle: number[];
  readonly last: number;
}

interface Fixture {
  readonly python: Readonly<Record<string, Numbers>>;
  readonly numpy: Readonly<Record<string, number[]>>;
  readonly pairs: { readonly count: number; readonly at: Readonly<Record<string, string>> };
}

const fixture = JSON.parse(readFileSync(new URL('fixtures/python-random.json', import.meta.url), 'utf8')) as Fixture;
const range = (length: number) => Array.from({ length }, (_, i) => i);

describe.each(Object.entries(fixture.python))("Python's random.Random(%s)", (seed, expected) => {
  it('draws the same numbers, in whatever way they are asked for', () => {
    const random = new PythonRandom(Number(seed));
    expect(range(3).map(() => random.random())).toEqual(expected.random);
    // More than 32 bits are two words, the lowest first.
    const bits = [1, 24, 32].map((count) => random.bits(count));
    const long = [1, 16].map((high) => random.bits(32) + 2 ** 32 * random.bits(high));
    expect([...bits, ...long]).toEqual(expected.bits);
    const hex = expected.uuid;
    const variant = (8 + (Number.parseInt(hex[16]!, 16) & 3)).toString(16);
    expect(random.uuid4()).toBe(`${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`);
    expect(range(3).map(() => random.randint(10 ** 6, 10 ** 7 - 1))).toEqual(expected.randint);
    expect([1, 2, 3, 1000, 5_000_000, 2 ** 31 + 1].map((limit) => random.below(limit))).toEqual(expected.below);
    expect(random.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ', 20).join('')).toBe(expected.choices);
    expect(random.sample(range(40), 4)).toEqual(expected.samplePool);
    expect(random.sample(range(1000), 7)).toEqual(expected.sampleSet);
    expect(random.sample(range(9), 9)).toEqual(expected.sampleAll);
    const list = range(12);
    random.shuffle(list);
    expect(list).toEqual(expected.shuffle);
    expect(range(700).map(() => random.bits(32)).at(-1)).toBe(expected.last);
  });
});

it.each(Object.entries(fixture.numpy))("NumPy's RandomState(%s) draws the same whole numbers", (seed, expected) => {
  const random = new NumpyRandom(Number(seed));
  expect(expected.map(() => random.randint(10000, 99999))).toEqual(expected);
});

it('finds any entry of the sorted list of adjective-noun pairs', () => {
  expect(wordPairs()).toBe(fixture.pairs.count);
  expect(Object.keys(fixture.pairs.at).map((index) => wordPair(Number(index)))).toEqual(Object.values(fixture.pairs.at));
});

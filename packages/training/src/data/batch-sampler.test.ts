import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BatchSampler } from './batch-sampler';

const stream = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);

const sizes = fc.record({
  tokens: fc.integer({ min: 20, max: 500 }),
  sequenceLength: fc.integer({ min: 1, max: 19 }),
  batchSize: fc.integer({ min: 1, max: 7 }),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});

test('an epoch gives every token as a target once, but for fewer than T at either end', () => {
  fc.assert(
    fc.property(sizes, ({ tokens, sequenceLength, seed }) => {
      const sampler = new BatchSampler(stream(tokens), { batchSize: 1, sequenceLength, seed });
      const targets: number[] = [];
      while (sampler.state().epoch === 0) {
        const batch = sampler.next();
        if (sampler.state().epoch > 0) break;
        // The tokens are their own positions: a target is the position after its input.
        expect([...batch.targets]).toEqual([...batch.inputs].map((position) => position + 1));
        targets.push(...batch.targets);
      }
      const seen = targets.sort((a, b) => a - b);
      expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => seen[0]! + i));
      expect(seen[0]! - 1).toBeLessThan(sequenceLength);
      expect(tokens - 1 - seen.at(-1)!).toBeLessThan(sequenceLength);
    }),
  );
});

test('a restored sampler goes on with the same batches, in the middle of an epoch and across its end', () => {
  fc.assert(
    fc.property(sizes, fc.nat({ max: 40 }), ({ tokens, ...options }, taken) => {
      const one = new BatchSampler(stream(tokens), options);
      for (let i = 0; i < taken; i++) one.next();
      const two = new BatchSampler(stream(tokens), options);
      two.next();
      two.restore(JSON.parse(JSON.stringify(one.state())));
      for (let i = 0; i < 10; i++) expect(two.next()).toEqual(one.next());
      expect(two.state()).toEqual(one.state());
    }),
  );
});

test('batch size changes nothing but the grouping; seed and epoch change the order', () => {
  const windows = (batchSize: number, seed: number, count: number): string[] => {
    const sampler = new BatchSampler(stream(401), { batchSize, sequenceLength: 4, seed });
    return Array.from({ length: count / batchSize }, () => [...sampler.next().inputs])
      .flat()
      .flatMap((_, i, all) => (i % 4 === 0 ? [all.slice(i, i + 4).join()] : []));
  };
  expect(windows(4, 3, 120)).toEqual(windows(1, 3, 120));
  expect(windows(1, 3, 50)).not.toEqual(windows(1, 4, 50));
  const all = windows(1, 3, 198);
  expect(all.slice(0, 99)).not.toEqual(all.slice(99));
});

test('refuses what cannot work', () => {
  const make = (tokens: number, batchSize: number, sequenceLength: number) => () =>
    new BatchSampler(stream(tokens), { batchSize, sequenceLength, seed: 0 });
  expect(make(8, 1, 8)).toThrow('need 9 tokens, the corpus has 8; add text or lower sequenceLength');
  expect(make(9, 1, 8)).not.toThrow();
  expect(make(9, 0, 8)).toThrow('expected batchSize to be a positive whole number, got 0');
  expect(make(9, 1, 2.5)).toThrow(ArgumentError);

  const sampler = make(100, 2, 8)();
  const state = sampler.state();
  expect(() => sampler.restore({ ...state, tokens: 99 })).toThrow('a state with tokens 100, got 99');
  expect(() => sampler.restore({ ...state, seed: 1 })).toThrow('a state with seed 0, got 1');
  expect(() => sampler.restore({ ...state, position: 1000 })).toThrow(/at most 1[12] windows, got 1000/);
  expect(() => sampler.restore({ ...state, epoch: -1 })).toThrow('whole numbers');
  expect(() => sampler.restore(null)).toThrow(ArgumentError);
});

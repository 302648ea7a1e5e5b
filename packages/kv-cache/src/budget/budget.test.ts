import { ArgumentError, BackendError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { budgetKinds, CachePool, parseBudgetPolicy, type BudgetPolicy, type BudgetTokens } from '../index';
import { budgetChecks } from '../testing';
import { WatchedRuntime } from '../testing/watched-pages';
import { ladder, coarserOf } from './ladder';

type Name = keyof typeof budgetKinds;

describe.each(Object.entries(budgetKinds))('budget policy %s', (_, kind) => {
  it.each(budgetChecks)('$name', ({ run }) => run(kind));
});

/** Five tokens of a sequence of 8, of which 4 fill the bytes at the finest: 6 and 7 are the newest two. */
const tokens: BudgetTokens = {
  layer: 0, tokensSeen: 8, capacity: 4,
  positions: Int32Array.of(0, 7, 5, 6, 2),
  scores: Float32Array.of(4, 0.5, 1.5, 0.25, 3),
};

describe('importance', () => {
  // By hand. Means: 4 over the 8 queries since token 0, 1.5 over the 3 since 5, 3 over the 6 since 2.
  const expected: Record<Name, number[]> = {
    'mean-attention': [4 / 8, Infinity, 1.5 / 3, Infinity, 3 / 6],
    attention: [4, Infinity, 1.5, Infinity, 3],
    oldest: [0, 7, 5, 6, 2],
  };

  it.each(Object.keys(budgetKinds) as Name[])('of %s', (name) => {
    expect(Array.from(parseBudgetPolicy(name).importance(tokens))).toEqual(expected[name]);
  });

  it.each(['attention', 'mean-attention'])('of %s protects half of the capacity, rounded down', (name) => {
    const protectedBy = (capacity: number) =>
      Array.from(parseBudgetPolicy(name).importance({ ...tokens, capacity })).flatMap((value, i) => (value === Infinity ? [tokens.positions[i]] : []));
    expect([0, 1, 2, 3, 4, 6, 11, 12, 16].map(protectedBy)).toEqual([[], [], [7], [7], [7, 6], [7, 5, 6], [7, 5, 6], [7, 5, 6, 2], [0, 7, 5, 6, 2]]);
  });

  it.each(['attention', 'mean-attention'])('of %s adds the probabilities up', (name) => {
    const { accumulate } = parseBudgetPolicy(name);
    expect([accumulate!(0, 0.25, 1), accumulate!(1.5, 0.25, 1), accumulate!(1.5, 0.75, 9)]).toEqual([0.25, 1.75, 2.25]);
  });

  it('ranks by attention or not', () => {
    const wants = Object.keys(budgetKinds).map((name) => [name, parseBudgetPolicy(name).accumulate !== undefined]);
    expect(wants).toEqual([['mean-attention', true], ['attention', true], ['oldest', false]]);
  });
});

it('coarsens the older of equally important tokens first, in whatever arena they are', () => {
  const pool = new CachePool(new WatchedRuntime(), { layers: 1, kvHeads: 4, headDim: 1, groupSizes: [1, 1], fingerprint: 'equal' });
  const policy: BudgetPolicy = { spec: 'equal', evicts: false, groupSizes: [4], importance: ({ positions }) => new Float64Array(positions.length) };
  const cache = pool.create({ budget: { bytes: 1000, policy }, maxTokens: 30 });
  for (let token = 0; token < 25; token++) {
    cache.view(0);
    cache.commit([token % 2]);
  }
  expect([0, 1, 2, 3, 4, 5].map((token) => cache.expertOf(0, token))).toEqual([2, 2, 2, 1, 0, 1]);
});

describe('a budget', () => {
  const pool = () => new CachePool(new WatchedRuntime(), { layers: 1, kvHeads: 4, headDim: 1, groupSizes: [1], fingerprint: 'budget' });
  const [finest, coarsest] = [2 * 4 * 4 + 8, 2 * 4 + 8];

  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 53])('is not of %d bytes', (bytes) => {
    expect(() => pool().create({ budget: { bytes }, maxTokens: 1 })).toThrow(new ArgumentError(`KV budget: expected a whole number of bytes from 1, got ${bytes}`));
  });

  it.each([null, 0, -2, 1.5])('that keeps all is not for %s tokens', (maxTokens) => {
    const create = () => pool().create({ budget: { bytes: 1000, policy: 'oldest' }, ...(maxTokens !== null && { maxTokens }) });
    expect(create).toThrow(`KV budget: expected maxTokens, all of which it keeps, to be a whole number from 1, got ${maxTokens}; or a policy that evicts`);
  });

  it('of one token is the bytes of one', () => {
    expect(pool().create({ budget: { bytes: finest }, maxTokens: 1 }).budget).toBe(finest);
    expect(pool().create({ maxTokens: 1 }).budget).toBe(null);
    expect(() => pool().create({ budget: { bytes: finest - 1 }, maxTokens: 1 })).toThrow(`at least ${finest} bytes`);
  });

  it('names a policy that keeps all, and one that evicts, where it is too small', () => {
    expect(() => pool().create({ budget: { bytes: 50, policy: 'oldest:evict' } })).toThrow(
      `KV budget: expected at least ${finest + coarsest} bytes, for a token at the coarsest and a new one, got 50`,
    );
    expect(() => pool().create({ budget: { bytes: 50 }, maxTokens: 3 })).toThrow(
      `KV budget: expected at least ${2 * coarsest + finest} bytes, which 3 tokens at the coarsest need, got 50; `,
    );
  });

  it('coarsens with a later step where there is no memory for it', () => {
    const runtime = new WatchedRuntime();
    const layout = { layers: 1, kvHeads: 4, headDim: 1, groupSizes: [1], fingerprint: 'budget' };
    const cache = new CachePool(runtime, layout).create({ budget: { bytes: 4 * finest, policy: 'oldest@4' }, maxTokens: 8 });
    for (let token = 0; token < 3; token++) {
      cache.view(0);
      cache.commit([0]);
    }
    cache.view(0);
    runtime.memory.left = 0; // the first page of coarsened tokens
    cache.commit([0]);
    expect(cache.expertCounts()).toEqual([4, 0]);
    expect(() => cache.view(0)).toThrow(BackendError);
    expect(cache.expertCounts()).toEqual([4, 0]);
    runtime.memory.left = 1;
    cache.view(0);
    expect(cache.expertCounts()).toEqual([2, 2]);
  });

  it('coarsens to whatever arena has the size, the first too', () => {
    const layout = { layers: 1, kvHeads: 4, headDim: 1, groupSizes: [2, 1], fingerprint: 'budget' };
    const cache = new CachePool(new WatchedRuntime(), layout).create({ budget: { bytes: 4 * finest, policy: 'oldest' }, maxTokens: 6 });
    for (let token = 0; token < 5; token++) {
      cache.view(0);
      cache.commit([1]);
    }
    expect([cache.tokensKept(0), cache.expertOf(0, 4)]).toEqual([5, 1]);
    expect(cache.expertOf(0, 0)).not.toBe(1);
    expect(cache.expertCounts()[0]).toBeGreaterThan(0);
  });

  it('leaves room for the next token, to the last byte', () => {
    for (let bytes = 5 * coarsest + finest; bytes < 6 * finest + 2; bytes++) {
      const cache = pool().create({ budget: { bytes, policy: 'oldest@4' }, maxTokens: 6 });
      for (let token = 1; token < 6; token++) {
        cache.view(0);
        cache.commit([0]);
        expect(cache.bytes().used + finest).toBeLessThanOrEqual(bytes);
        // No token is coarsened where all fit at the finest.
        if ((token + 1) * finest <= bytes) expect(cache.expertCounts()).toEqual([token, 0]);
      }
    }
  });
});

describe('parseBudgetPolicy', () => {
  it('reads a name, group sizes and :evict', () => {
    const read = (spec: string) => {
      const { spec: same, groupSizes, evicts } = parseBudgetPolicy(spec);
      expect(same).toBe(spec);
      return [groupSizes, evicts];
    };
    expect(['oldest', 'oldest@2,4', 'attention:evict', 'mean-attention@8:evict'].map(read)).toEqual([[undefined, false], [[2, 4], false], [undefined, true], [[8], true]]);
  });

  it.each(['', 'oldest:', 'oldest@', 'oldest@2,', 'oldest:evicts', 'newest', 'constructor', 'oldest@2:evict:evict', 'x oldest'])('refuses %j', (spec) => {
    expect(() => parseBudgetPolicy(spec)).toThrow(new ArgumentError(
      'KV budget: expected a policy mean-attention, attention, oldest, alone or with group sizes and :evict ' +
        `(such as attention@2,4:evict), got ${JSON.stringify(spec)}`,
    ));
  });
});

it('says of the policy margin that it was removed', () => {
  expect(() => parseBudgetPolicy('margin:evict')).toThrow(/^KV budget: margin, by how sure routers were, was removed, .* \(docs\/log.md\); use mean-attention$/);
});

describe('the ladder of group sizes', () => {
  const never = () => false;

  it('doubles the coarsest size while it divides, and stops at the first that is enough', () => {
    expect(ladder([1, 3], 24, undefined, never)).toEqual([1, 3, 6, 12, 24]);
    expect(ladder([1], 12, undefined, never)).toEqual([1, 2, 4]);
    expect(ladder([1], 16, undefined, (size) => size >= 4)).toEqual([1, 2, 4]);
    expect(ladder([1, 2, 4], 4, undefined, never)).toEqual([1, 2, 4]);
  });

  it('has the sizes that are named, each once and in order', () => {
    expect(ladder([2, 1], 12, [6, 4, 6, 2], never)).toEqual([2, 1, 4, 6]);
    expect(ladder([1], 12, [12], never)).toEqual([1, 12]);
  });

  it('refuses sizes that do not divide, and those that nothing is coarsened to', () => {
    for (const size of [0, 5, 24]) expect(() => ladder([1], 12, [2, size], never)).toThrow(`KV budget: expected sizes that divide 12, got ${size}`);
    expect(() => ladder([4], 4, undefined, never)).toThrow('KV budget: expected sizes that tokens can be coarsened to, got 4 of 4');
    expect(() => ladder([2], 6, [3], never)).toThrow('KV budget: expected sizes that tokens can be coarsened to, got 2, 3 of 6');
  });

  it('coarsens to the least multiple', () => {
    const sizes = [2, 3, 12, 6, 4, 2];
    expect(sizes.map((_, arena) => coarserOf(sizes, arena))).toEqual([4, 3, null, 2, 2, 4]);
  });
});

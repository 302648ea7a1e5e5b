import { BackendError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { CachePool, policies, policyNames, registerPolicy, type CachePolicy, type KvCache, type RankedTokens } from '../index';
import { policyChecks } from '../testing';
import { groups } from '../testing/drive';
import { WatchedRuntime } from '../testing/watched-pages';

const one = { layers: 1, formats: groups(2, 2, [1, 2]), fingerprint: 'one' };

function create(cache: string, maxTokens: number, runtime = new WatchedRuntime()): KvCache {
  return new CachePool(runtime, one).create({ cache, maxTokens });
}

/** Appends a token, to which and to whose forerunners attention goes as `attention` says by position. */
function step(cache: KvCache, expert: number, attention: (position: number) => number = () => 0): void {
  const position = cache.tokensSeen;
  cache.view(0);
  [0, 1].forEach((segment) => {
    const positions = slots(cache, segment);
    if (segment === expert) positions.push(position);
    cache.observe(0, segment, Float32Array.from(positions, attention));
  });
  cache.commit([expert]);
}

const order = new WeakMap<KvCache, number[][]>();

/** Positions of a segment in slot order, followed by the documented rule: the last token takes the place of an evicted one. */
function slots(cache: KvCache, segment: number): number[] {
  const arenas = order.get(cache) ?? [[], []];
  order.set(cache, arenas);
  const known = new Set(arenas.flat());
  for (let token = 0; token < cache.tokensSeen; token++) {
    const expert = cache.expertOf(0, token);
    if (expert !== null && !known.has(token)) arenas[expert]!.push(token);
  }
  for (const arena of arenas) {
    for (let slot = arena.length - 1; slot >= 0; slot--) {
      if (cache.expertOf(0, arena[slot]!) !== null) continue;
      const last = arena.pop()!;
      if (slot < arena.length) arena[slot] = last;
    }
  }
  return [...arenas[segment]!];
}

function kept(cache: KvCache): number[] {
  return Array.from({ length: cache.tokensSeen }, (_, token) => token).filter((token) => cache.expertOf(0, token) !== null);
}

describe.each(Object.entries(policies))('policy %s', (name, policy) => {
  it('has the name that the catalog gives it', () => expect(policy.name).toBe(name));
  it.each(policyChecks)('$name', ({ run }) => run(policy));
});

type Name = keyof typeof policies;

/** The lowest first, of equal ones the older. */
function goingBy(name: Name, tokens: RankedTokens): number[] {
  const rank = (policies[name] as CachePolicy).rank(tokens);
  return [...tokens.positions.keys()].sort((a, b) => rank[a]! - rank[b]! || tokens.positions[a]! - tokens.positions[b]!).map((i) => tokens.positions[i]!);
}

describe('the order in which tokens go', () => {
  // Nine tokens of a sequence of 12. At a capacity of 6 the window keeps 4 sinks, h2o and mean-attention the newest 3, nacl 4 sinks and the newest 1.
  const tokens: RankedTokens = {
    layer: 0, tokensSeen: 12, capacity: 6, seed: 0,
    positions: Int32Array.of(4, 9, 0, 5, 3, 11, 8, 10, 1),
    scores: Float32Array.of(0.5, 0, 0.1, 0.25, 0.25, 0, 2, 0, 0.3),
  };
  // By hand; the means are 0.5/8, 0.1/12, 0.25/7, 0.25/9, 2/4 and 0.3/11.
  const expected: Partial<Record<Name, number[]>> = {
    window: [4, 5, 8, 9, 10, 11, 0, 1, 3],
    h2o: [0, 3, 5, 1, 4, 8, 9, 10, 11],
    'mean-attention': [0, 1, 3, 5, 4, 8, 9, 10, 11],
    oldest: [0, 1, 3, 4, 5, 8, 9, 10, 11],
  };

  it.each(Object.keys(expected) as Name[])('by %s', (name) => {
    expect(goingBy(name, tokens)).toEqual(expected[name]);
  });

  it.each(['h2o', 'mean-attention'] as const)('by %s ends with half of the capacity, rounded up', (name) => {
    const protectedBy = (capacity: number) => Array.from(policies[name].rank({ ...tokens, capacity })).filter((rank) => rank === Infinity).length;
    expect([0, 1, 2, 3, 4, 5, 8, 20, 24].map(protectedBy)).toEqual([0, 1, 1, 2, 2, 3, 4, 7, 9]);
  });

  it.each(['h2o', 'mean-attention'] as const)('by %s is that of sums of probabilities', (name) => {
    const accumulate = (policies[name] as CachePolicy).accumulate!;
    expect([accumulate(0, 0.25, 1, 9), accumulate(1.5, 0.25, 1, 9), accumulate(1.5, 0.75, 9, 9)]).toEqual([0.25, 1.75, 2.25]);
  });
});

it('the older of equally ranked tokens goes first, in whatever arena it is', () => {
  const equal: CachePolicy = { name: 'equal', description: 'all tokens are equal', rank: ({ positions }) => new Float64Array(positions.length) };
  const coarsening = new CachePool(new WatchedRuntime(), { layers: 1, formats: groups(4, 1, [1, 1]), fingerprint: 'equal' })
    .create({ cache: { policy: equal, limit: { bytes: 1000 }, sizes: [4] }, maxTokens: 30 });
  const evicting = new CachePool(new WatchedRuntime(), one).create({ cache: { policy: equal, limit: { tokens: 0.5 } }, maxTokens: 10 });
  for (let token = 0; token < 25; token++) {
    for (const cache of [coarsening, evicting]) {
      cache.view(0);
      cache.commit([token % 2]);
    }
  }
  expect([0, 1, 2, 3, 4, 5].map((token) => coarsening.expertOf(0, token))).toEqual([2, 2, 2, 1, 0, 1]);
  expect(kept(evicting)).toEqual([20, 21, 22, 23, 24]);
});

describe('window', () => {
  it('keeps 4 sinks and the newest, without any attention', () => {
    const cache = create('window:0.5', 20);
    expect(cache.observes).toBe(false);
    for (let token = 0; token < 15; token++) step(cache, token % 2);
    expect(kept(cache)).toEqual([0, 1, 2, 3, 9, 10, 11, 12, 13, 14]);
    expect([cache.tokensSeen, cache.tokensKept(0)]).toEqual([15, 10]);
  });

  it('keeps the newest token whatever the capacity', () => {
    for (const [maxTokens, expected] of [[1, [6]], [2, [0, 6]], [6, [0, 1, 2, 3, 5, 6]]] as const) {
      const cache = create('window:1', maxTokens);
      for (let token = 0; token < 7; token++) step(cache, 0);
      expect(kept(cache)).toEqual(expected);
    }
  });
});

describe('h2o', () => {
  it('keeps the newest half and the heavy hitters', () => {
    const cache = create('h2o:0.6', 10);
    expect(cache.observes).toBe(true);
    // Capacity 6, of which 3 the newest. 1 and 4 always get attention; 5 got a little more often than 6, 7 and 8 more.
    for (let token = 0; token < 12; token++) step(cache, token % 2, (p) => (p === 1 || p === 4 ? 0.4 : p / 1000));
    expect(kept(cache)).toEqual([1, 4, 5, 9, 10, 11]);
  });

  it('accumulates: what was much attended once stays before what is a little attended now', () => {
    const cache = create('h2o:1', 4);
    step(cache, 0, () => 1);
    for (let token = 1; token < 6; token++) step(cache, 0, (p) => (p === 0 ? 0 : 0.15));
    expect(kept(cache)).toEqual([0, 1, 4, 5]);
  });

  it('evicts a prompt down to its capacity at once, by the attention of the whole of it', () => {
    const cache = create('h2o:0.5', 8);
    cache.planRows(0, Int32Array.of(0, 1, 0, 1, 0, 1, 0, 1, 0));
    cache.observeRows(0, Float32Array.of(0, 0, 5, 0, 1, 3, 0, 0, 0));
    cache.commitRows();
    expect(kept(cache)).toEqual([2, 5, 7, 8]);
    expect(cache.expertCounts()).toEqual([2, 2]);
  });

  it('takes observations at the commit, summed; those of a failed step not at all', () => {
    const cache = create('h2o:1', 2);
    step(cache, 0);
    step(cache, 0);
    const observe = (...probabilities: number[]) => cache.observe(0, 0, Float32Array.from(probabilities));
    cache.view(0);
    observe(0, 9, 0);
    cache.truncate(2);
    cache.view(0);
    observe(0.2, 0.1, 0);
    // As of another layer of the model that reads this layer of the cache.
    observe(0.2, 0.25, 0);
    cache.commit([0]);
    expect(kept(cache)).toEqual([0, 2]);
    expect(() => observe(1)).toThrow('KvCache.observe: expected a probability for each of 2 tokens, and the new one, got 1');
  });
});

describe('nacl', () => {
  it('keeps sinks, the newest tenth, the best of the others, and some at random, by seed', () => {
    const run = (eviction: string) => {
      const cache = create(eviction, 100);
      for (let token = 0; token < 120; token++) step(cache, token % 2, (p) => (p >= 20 && p < 38 ? 0.5 : 0.001));
      return kept(cache);
    };
    // 40 tokens: 4 sinks, 4 newest, 20 by score of which 18 are always attended, 12 by chance.
    const tokens = run('nacl:0.4');
    expect(tokens).toHaveLength(40);
    expect(tokens).toEqual(expect.arrayContaining([0, 1, 2, 3, ...Array.from({ length: 18 }, (_, i) => 20 + i), 116, 117, 118, 119]));
    expect(run('nacl:0.4')).toEqual(tokens);
    expect(run('nacl:0.4:0')).toEqual(tokens);
    expect(run('nacl:0.4:1')).not.toEqual(tokens);
  });

  it('leaves every token that is not protected a chance, those of high score the best', () => {
    // 38: 4 sinks, 4 newest, 19 by score, 11 by chance: of 12 the lowest scores one goes.
    const scores = Float32Array.from({ length: 39 }, (_, i) => (i < 16 ? (i % 2) * 1.5 : 10 + i));
    const gone = new Array<number>(39).fill(0);
    const positions = Int32Array.from(scores.keys());
    for (let layer = 0; layer < 4000; layer++) {
      gone[goingBy('nacl', { layer, tokensSeen: 39, positions, scores, capacity: 38, seed: 3 })[0]!]!++;
    }
    const [low, high] = [4, 5].map((first) => [0, 2, 4, 6, 8, 10].map((i) => gone[first + i]!));
    expect(gone.reduce((a, b) => a + b)).toBe(4000);
    expect(low!.concat(high!).reduce((a, b) => a + b)).toBe(4000);
    // The last of 12 drawn without replacement with weights 1 and e^1.5: low ones are last in 0.1639 of draws, high ones in 0.0028.
    for (const count of low!) expect(Math.abs(count / 4000 - 0.1639)).toBeLessThan(0.02);
    for (const count of high!) expect(Math.abs(count / 4000 - 0.0028)).toBeLessThan(0.003);
  });

  it('leaves to chance the tokens of the lowest scores, wherever they are', () => {
    // 31 that are not protected, 19 of them by score: the last 12 are drawn from, of which the one of the lowest score stays least often.
    const scores = Float32Array.from({ length: 39 }, (_, i) => (i < 23 ? 10 + i : i / 100));
    const positions = Int32Array.from(scores.keys());
    const gone = new Set<number>();
    for (let layer = 0; layer < 400; layer++) gone.add(goingBy('nacl', { layer, tokensSeen: 39, positions, scores, capacity: 38, seed: 3 })[0]!);
    expect([...gone].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => 23 + i));
  });

  it('has no choice where one token is left', () => {
    // 4 sinks, the newest, one by score: of two the lower goes.
    for (const [scores, expected] of [[[0, 0, 0, 0, 2, 1, 0], 5], [[0, 0, 0, 0, 1, 2, 0], 4]] as const) {
      expect(goingBy('nacl', { layer: 0, tokensSeen: 7, positions: Int32Array.from(scores.keys()), scores: Float32Array.from(scores), capacity: 6, seed: 0 })[0]).toBe(expected);
    }
  });

  it('scores by the attention of the latest queries', () => {
    const accumulate = (score: number, probability: number, queries: number) => policies.nacl.accumulate!(score, probability, queries, 40);
    // 4 proxies: a query counts 3/4 less with each later one, and many queries of p sum up to 4p.
    expect(accumulate(1, 0.5, 1)).toBeCloseTo(0.75 + 0.5, 12);
    expect(accumulate(0, 10, 1000)).toBeCloseTo(4 * 0.01, 12);
    let score = 0;
    for (let query = 0; query < 5; query++) score = accumulate(score, 0.2, 1);
    expect(accumulate(0, 1, 5)).toBeCloseTo(score, 12);
  });
});

describe('a policy of your own', () => {
  const spare: CachePolicy = { name: 'spare', description: 'the tokens at even positions first', rank: ({ positions }) => positions.map((position) => position % 2) };

  it('needs no registration, and comes back with a restored cache', async () => {
    const pool = new CachePool(new WatchedRuntime(), one);
    const options = { cache: { policy: spare, limit: { tokens: 0.5 } }, maxTokens: 6 };
    const cache = pool.create(options);
    for (let token = 0; token < 6; token++) step(cache, token % 2);
    expect(kept(cache)).toEqual([1, 3, 5]);
    const bytes = await cache.serialise();
    const restored = await pool.restore(bytes, options);
    step(restored, 0);
    expect(kept(restored)).toEqual([1, 3, 5]);
    await expect(pool.restore(bytes)).rejects.toThrow(/^CachePool.restore: expected none, or one of h2o, .*, got "spare:0.5"; a plugin may register it \(--plugin, registerPolicy\)$/);
  });

  it('is known by its name once it is registered', () => {
    const named = { ...spare, name: 'registered-spare' };
    expect(() => create('registered-spare:0.5', 6)).toThrow('got "registered-spare:0.5"');
    registerPolicy(named);
    registerPolicy(named);
    expect(policyNames()).toEqual(['h2o', 'nacl', 'window', 'mean-attention', 'oldest', 'registered-spare']);
    const cache = create('registered-spare:0.5', 6);
    for (let token = 0; token < 7; token++) step(cache, 0);
    expect(kept(cache)).toEqual([1, 3, 5]);
    expect(() => registerPolicy({ ...named })).toThrow('registerPolicy: expected a name that is free, got registered-spare');
    for (const name of ['h2o', 'attention']) expect(() => registerPolicy({ ...spare, name })).toThrow(`registerPolicy: expected a name that is free, got ${name}`);
    for (const name of ['', 'Mine', '1st', 'a b', 'a:b', 'none']) {
      expect(() => registerPolicy({ ...spare, name })).toThrow(`registerPolicy: expected a name of letters, digits and hyphens, and not none, got ${JSON.stringify(name)}`);
    }
  });

  it('is refused when it is none', () => {
    const own = { ...spare, name: 'none-yet' };
    expect(() => registerPolicy({ ...own, rank: 3 } as unknown as CachePolicy)).toThrow('registerPolicy: none-yet: expected rank to be a function, got 3');
    expect(() => registerPolicy({ ...own, accumulate: 'sum' } as unknown as CachePolicy)).toThrow('registerPolicy: none-yet: expected accumulate to be a function, got "sum"');
    expect(() => registerPolicy(undefined as unknown as CachePolicy)).toThrow('registerPolicy: expected a name of');
    expect(policyNames()).not.toContain('none-yet');
  });

  it('is refused when it ranks wrong', () => {
    const pool = new CachePool(new WatchedRuntime(), one);
    for (const [rank, got] of [[[1, 2, 3], 'a rank for each of 4 tokens, got 3'], [[1, 2, NaN, 3], 'ranks that are numbers, got NaN'], [[1, 2, 3, '4'], 'ranks that are numbers, got 4']] as const) {
      const cache = pool.create({ cache: { policy: { ...spare, rank: () => rank as unknown as number[] }, limit: { tokens: 0.5 } }, maxTokens: 6 });
      for (let token = 0; token < 3; token++) step(cache, 0);
      expect(() => step(cache, 0)).toThrow(`cache spare:0.5: expected ${got}`);
    }
  });
});

describe('without memory to copy a shared page', () => {
  it('eviction waits for a later commit, and truncation leaves all as it is', () => {
    const runtime = new WatchedRuntime();
    const cache = create('window:1', 33, runtime);
    for (let token = 0; token < 33; token++) step(cache, 0);
    const fork = cache.fork();
    fork.view(0);
    runtime.memory.left = 0;
    fork.commit([0]);
    expect([fork.tokensSeen, fork.tokensKept(0), fork.expertOf(0, 4)]).toEqual([34, 34, 0]);
    runtime.memory.left = Infinity;
    step(fork, 0);
    expect([fork.tokensSeen, fork.tokensKept(0), kept(fork).slice(0, 6)]).toEqual([35, 33, [0, 1, 2, 3, 6, 7]]);
    expect(kept(cache)).toHaveLength(33);

    // Slots 4 and 5 hold the tokens 33 and 34: to drop 33 alone, 34 has to move.
    const again = fork.fork();
    runtime.memory.left = 0;
    expect(() => again.truncate(33)).toThrow(BackendError);
    expect([again.tokensSeen, again.tokensKept(0)]).toEqual([35, 33]);
    runtime.memory.left = Infinity;
    again.truncate(33);
    expect([again.tokensSeen, again.tokensKept(0), again.expertOf(0, 32)]).toEqual([33, 31, 0]);
    expect(kept(fork)).toHaveLength(33);
  });
});

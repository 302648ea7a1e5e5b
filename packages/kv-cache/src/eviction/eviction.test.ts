import { ArgumentError, BackendError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { CachePool, evictionKinds, parseEviction, type EvictionPolicy, type KeptTokens, type KvCache } from '../index';
import { evictionChecks } from '../testing';
import { WatchedRuntime } from '../testing/watched-pages';

const one = { layers: 1, kvHeads: 2, headDim: 2, groupSizes: [1, 2], fingerprint: 'one' };

function create(eviction: string, maxTokens: number, runtime = new WatchedRuntime()): KvCache {
  return new CachePool(runtime, one).create({ eviction, maxTokens });
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

describe.each(Object.entries(evictionKinds))('eviction policy %s', (_, kind) => {
  it.each(evictionChecks)('$name', ({ run }) => run(kind));
});

describe('what a policy gives up', () => {
  // Nine tokens of a sequence of 12. At a capacity of 6 the window keeps 4 sinks, h2o the newest 3, nacl 4 sinks and the newest 1 beside one by score.
  const tokens: KeptTokens = {
    layer: 0, tokensSeen: 12,
    positions: Int32Array.of(4, 9, 0, 5, 3, 11, 8, 10, 1),
    scores: Float32Array.of(0.5, 0, 0.1, 0.25, 0.25, 0, 2, 0, 0.3),
  };
  // In the order in which they go.
  const expected: Record<keyof typeof evictionKinds, number[] | null> = {
    none: null,
    window: [4, 5, 8],
    h2o: [0, 3, 5],
    nacl: null, // chance: its own tests
  };

  it.each(Object.keys(evictionKinds) as (keyof typeof evictionKinds)[])('%s', (name) => {
    const policy = parseEviction(name === 'none' ? name : `${name}:0.5`)({ maxTokens: 12 });
    if (!expected[name]) return;
    for (const count of [1, 2, 3]) expect(policy!.evict(tokens, count).map((i) => tokens.positions[i])).toEqual(expected[name].slice(0, count));
  });
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
    const policy = parseEviction('nacl:1:3')({ maxTokens: 38 })!;
    // 38: 4 sinks, 4 newest, 19 by score, 11 by chance: of 12 the lowest scores one goes.
    const scores = Float32Array.from({ length: 39 }, (_, i) => (i < 16 ? (i % 2) * 1.5 : 10 + i));
    const gone = new Array<number>(39).fill(0);
    const positions = Int32Array.from(scores.keys());
    for (let layer = 0; layer < 4000; layer++) {
      for (const i of policy.evict({ layer, tokensSeen: 39, positions, scores }, 1)) gone[i]!++;
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
    const policy = parseEviction('nacl:1:3')({ maxTokens: 38 })!;
    const scores = Float32Array.from({ length: 39 }, (_, i) => (i < 23 ? 10 + i : i / 100));
    const positions = Int32Array.from(scores.keys());
    const gone = new Set<number>();
    for (let layer = 0; layer < 400; layer++) for (const i of policy.evict({ layer, tokensSeen: 39, positions, scores }, 1)) gone.add(i);
    expect([...gone].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => 23 + i));
  });

  it('has no choice where one token is left', () => {
    // 4 sinks, the newest, one by score: of two the lower goes.
    const policy = parseEviction('nacl:0.5')({ maxTokens: 12 })!;
    for (const [scores, expected] of [[[0, 0, 0, 0, 2, 1, 0], 5], [[0, 0, 0, 0, 1, 2, 0], 4]] as const) {
      expect(policy.evict({ layer: 0, tokensSeen: 7, positions: Int32Array.from(scores.keys()), scores: Float32Array.from(scores) }, 1)).toEqual([expected]);
    }
  });

  it('scores by the attention of the latest queries', () => {
    const { accumulate } = parseEviction('nacl:1')({ maxTokens: 40 })!;
    // 4 proxies: a query counts 3/4 less with each later one, and many queries of p sum up to 4p.
    expect(accumulate!(1, 0.5, 1)).toBeCloseTo(0.75 + 0.5, 12);
    expect(accumulate!(0, 10, 1000)).toBeCloseTo(4 * 0.01, 12);
    let score = 0;
    for (let query = 0; query < 5; query++) score = accumulate!(score, 0.2, 1);
    expect(accumulate!(0, 1, 5)).toBeCloseTo(score, 12);
  });
});

describe('parseEviction', () => {
  it.each(Object.values(evictionKinds))('reads $example', ({ example }) => {
    const policy = parseEviction(example)({ maxTokens: 11 });
    expect(policy?.spec ?? 'none').toBe(example);
    expect(policy?.capacity ?? 0).toBe(Math.ceil(Number(example.split(':')[1] ?? 0) * 11));
  });

  it.each([
    ['h20:0.6', 'eviction: expected none, h2o:0.6, nacl:0.6, window:0.5 (did you mean h2o?), got "h20:0.6"'],
    ['lru:0.6', 'eviction: expected none, h2o:0.6, nacl:0.6, window:0.5, got "lru:0.6"'],
    ['constructor', 'eviction: expected none, h2o:0.6, nacl:0.6, window:0.5, got "constructor"'],
    ['none:1', 'eviction: expected none, got "none:1"'],
    ['h2o', 'eviction: expected h2o:R with R above 0 and at most 1 (such as h2o:0.6), got "h2o"'],
    ['h2o:0', 'eviction: expected h2o:R with R above 0 and at most 1 (such as h2o:0.6), got "h2o:0"'],
    ['h2o:1.01', 'eviction: expected h2o:R with R above 0 and at most 1 (such as h2o:0.6), got "h2o:1.01"'],
    ['window:NaN', 'eviction: expected window:R with R above 0 and at most 1 (such as window:0.5), got "window:NaN"'],
    ['window:0.5:1', 'eviction: expected window:R with R above 0 and at most 1 (such as window:0.5), got "window:0.5:1"'],
    ['nacl:0.5:-1', 'eviction: expected nacl:R or nacl:R:SEED with R above 0 and at most 1 (such as nacl:0.6), got "nacl:0.5:-1"'],
  ])('refuses %s', (spec, message) => {
    expect(() => parseEviction(spec)).toThrow(new ArgumentError(message));
  });

  it('counts the capacity in whole tokens, from 1', () => {
    const capacity = (ratio: string, maxTokens?: number) => parseEviction(`h2o:${ratio}`)({ maxTokens })!.capacity;
    expect([capacity('0.07', 100), capacity('0.6', 101), capacity('0.001', 3), capacity('1', 7)]).toEqual([7, 61, 1, 7]);
    for (const maxTokens of [undefined, 0, 1.5, -3]) {
      expect(() => capacity('0.5', maxTokens)).toThrow(
        `eviction h2o:0.5: expected maxTokens, of which it keeps a share, to be a whole number from 1, got ${maxTokens}`,
      );
    }
  });
});

describe('a policy of your own', () => {
  const oldest: EvictionPolicy = {
    spec: 'oldest', capacity: 3,
    evict: ({ positions }, count) => [...positions.keys()].sort((a, b) => positions[a]! - positions[b]!).slice(0, count),
  };

  it('needs no registration, and comes back with a restored cache', async () => {
    const pool = new CachePool(new WatchedRuntime(), one);
    const cache = pool.create({ eviction: () => oldest });
    for (let token = 0; token < 6; token++) step(cache, token % 2);
    expect(kept(cache)).toEqual([3, 4, 5]);
    const bytes = await cache.serialise();
    const restored = await pool.restore(bytes, { eviction: () => oldest });
    step(restored, 0);
    expect(kept(restored)).toEqual([4, 5, 6]);
    await expect(pool.restore(bytes)).rejects.toThrow('eviction: expected none, h2o:0.6, nacl:0.6, window:0.5, got "oldest"');
  });

  it('is refused when it chooses wrong', () => {
    const pool = new CachePool(new WatchedRuntime(), one);
    for (const [choice, got] of [[[], ''], [[0, 1], '0, 1'], [[4], '4'], [[-1], '-1']] as const) {
      const cache = pool.create({ eviction: () => ({ ...oldest, evict: () => choice }) });
      for (let token = 0; token < 3; token++) step(cache, 0);
      expect(() => step(cache, 0)).toThrow(`eviction oldest: expected 1 different tokens of 4, got ${got}`);
    }
    expect(() => pool.create({ eviction: () => ({ ...oldest, capacity: 0 }) })).toThrow(
      'eviction oldest: expected a capacity of whole tokens from 1, got 0',
    );
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

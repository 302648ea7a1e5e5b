import type { EvictionFactory, EvictionKind, EvictionPolicy, KeptTokens } from '../eviction/policy';
import { attentionTo, expectEqual, expectSameAfterwards, expectThat, messageOf, newPool, placesOf, rows, steps } from './drive';

export interface EvictionCheck {
  readonly name: string;
  /** Runs with caches on plain arrays. A kind that keeps every token is tried for that. */
  run(kind: EvictionKind): Promise<void>;
}

interface Setting {
  readonly kind: EvictionKind;
  /** What follows the colon in its example. */
  readonly argument: string | null;
  readonly factory: EvictionFactory;
  /** Of the example, for {@link MAX_TOKENS}; null when every token is kept. */
  readonly policy: EvictionPolicy | null;
}

const MAX_TOKENS = 30;
const LAYERS = [0, 1];

export const evictionChecks: readonly EvictionCheck[] = [
  check('is read from its text, which its policy has as its spec, and from no other', ({ kind, argument, policy }) => {
    expectThat(`an example that starts as its form, got ${kind.example} of ${kind.form}`, kind.form.startsWith(kind.example.split(':')[0]!));
    if (policy) expectEqual('spec', policy.spec, kind.example);
    for (const other of [...(argument === null ? [''] : [null, '']), '?', `${argument ?? ''} `, `${argument ?? ''}:`]) {
      expectThat(`null for ${JSON.stringify(other)}`, kind.parse(other) === null);
    }
  }),

  check('has a capacity of whole tokens, no more than the sequence can reach, and needs to know that', ({ kind, argument, policy }) => {
    if (!policy) return;
    for (const maxTokens of [1, 2, 3, 7, MAX_TOKENS, 1000]) {
      const { capacity } = kind.parse(argument)!({ maxTokens })!;
      expectThat(`a capacity from 1 to ${maxTokens}, got ${capacity}`, Number.isInteger(capacity) && capacity >= 1 && capacity <= maxTokens);
    }
    const message = messageOf('a policy without maxTokens', () => kind.parse(argument)!({}));
    expectThat(`a message that names maxTokens, got ${message}`, message.includes('maxTokens'));
  }),

  check('chooses as many different tokens as it is asked for, the same each time, and changes none', ({ policy }) => {
    if (!policy) return;
    for (const count of [1, 2, 5, MAX_TOKENS]) {
      const tokens = some(policy.capacity + count);
      const before = JSON.stringify(tokens);
      const chosen = policy.evict(tokens, count);
      expectEqual(`different tokens of ${count}`, [chosen.length, new Set(chosen).size], [count, count]);
      expectThat('indices of tokens', chosen.every((i) => Number.isInteger(i) && i >= 0 && i < tokens.positions.length));
      expectEqual('the same choice again', policy.evict(tokens, count), chosen);
      expectEqual('tokens', JSON.stringify(tokens), before);
    }
  }),

  check('never chooses the newest token', ({ policy }) => {
    if (!policy) return;
    const tokens = some(policy.capacity + 1);
    const newest = tokens.positions.indexOf(tokens.tokensSeen - 1);
    expectThat('the newest token to stay', !policy.evict(tokens, 1).includes(newest));
  }),

  check('wants attention only to go by it, and gives more of it a higher score', ({ policy }) => {
    if (!policy) return;
    const { accumulate } = policy;
    if (!accumulate) {
      const tokens = some(policy.capacity + 3);
      const others = { ...tokens, scores: tokens.scores.map((score) => 1 - score) };
      return expectEqual('a choice without attention', policy.evict(others, 3), policy.evict(tokens, 3));
    }
    for (const queries of [1, 2, 9]) {
      const scores = [0, 0.25, 0.5, 1].map((probability) => accumulate(0.5, probability, queries));
      expectThat(`finite scores that rise with attention, got ${scores.join(', ')}`, scores.every((score, i) => Number.isFinite(score) && (i === 0 || score > scores[i - 1]!)));
    }
  }),

  check('keeps all tokens up to its capacity, and that number from then on, in every layer', ({ factory, policy }) => {
    const cache = newPool().create({ eviction: factory, maxTokens: MAX_TOKENS });
    expectEqual('whether the cache observes', cache.observes, policy?.accumulate !== undefined);
    for (let seen = 1; seen <= 2 * MAX_TOKENS; seen++) {
      steps(cache, 1);
      const kept = Math.min(seen, policy?.capacity ?? Infinity);
      expectEqual(`tokens kept of ${seen}`, LAYERS.map((layer) => cache.tokensKept(layer)), [kept, kept]);
      expectThat('the newest token to stay', placesOf(cache).every((places) => places.at(-1) !== null));
    }
  }),

  check('keeps as many of a prompt, of its capacity, of one token more, and of a long one', ({ factory, policy }) => {
    const capacity = policy?.capacity ?? MAX_TOKENS;
    for (const count of [capacity, capacity + 1, 3 * MAX_TOKENS]) {
      const cache = newPool().create({ eviction: factory, maxTokens: MAX_TOKENS });
      rows(cache, count);
      const kept = Math.min(count, policy?.capacity ?? Infinity);
      expectEqual(`tokens kept of ${count}`, LAYERS.map((layer) => cache.tokensKept(layer)), [kept, kept]);
    }
  }),

  check('goes on the same in a fork and when restored', async ({ factory }) => {
    const pool = newPool();
    const cache = pool.create({ eviction: factory, maxTokens: MAX_TOKENS });
    steps(cache, MAX_TOKENS);
    await expectSameAfterwards(pool, cache, MAX_TOKENS, { eviction: factory, maxTokens: MAX_TOKENS });
  }),
];

function check(name: string, run: (setting: Setting) => Promise<void> | void): EvictionCheck {
  return {
    name,
    async run(kind) {
      const colon = kind.example.indexOf(':');
      const argument = colon < 0 ? null : kind.example.slice(colon + 1);
      const factory = kind.parse(argument);
      expectThat(`an example that can be read, got ${kind.example}`, factory !== null);
      await run({ kind, argument, factory: factory!, policy: factory!({ maxTokens: MAX_TOKENS }) });
    },
  };
}

/** Kept tokens of a longer sequence, in no order, the newest among them. */
function some(count: number): KeptTokens {
  const tokensSeen = 3 * count;
  const positions = Int32Array.from({ length: count }, (_, i) => (i % 2 === 0 ? i / 2 : count - (i + 1) / 2) * 3 + 2);
  return { layer: 1, tokensSeen, positions, scores: Float32Array.from(positions, (position) => attentionTo(position, 3)) };
}

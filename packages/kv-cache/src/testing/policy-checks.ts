import type { KvCache } from '../cache';
import type { CacheLayout } from '../layout';
import type { CacheAction, CacheLimit } from '../policies/cache-spec';
import type { CachePolicy, RankedTokens } from '../policies/policy';
import type { CreateOptions } from '../pool';
import { attentionTo, expectEqual, expectSameAfterwards, expectThat, groups, layout, messageOf, newPool, placesOf, rows, step, steps } from './drive';

export interface PolicyCheck {
  readonly name: string;
  /** Runs with caches on plain arrays, whose tokens have two experts. The policy need not be registered. */
  run(policy: CachePolicy): Promise<void>;
}

const MAX_TOKENS = 20;
/** Bytes of a token in a layer of {@link layout}: 4, 2 or 1 heads of a float32 for keys and for values, and an entry of 8. */
const [FINEST, COARSEST] = [40, 16];
/** What {@link MAX_TOKENS} need where all but the newest are at the coarsest. */
const LEAST = 2 * ((MAX_TOKENS - 1) * COARSEST + FINEST);
const LAYERS = [0, 1];

export const policyChecks: readonly PolicyCheck[] = [
  check('has a name, and a description in one line', ({ name, description }) => {
    expectThat(`a name of letters, digits and hyphens, got ${name}`, /^[a-z][a-z0-9-]*$/.test(name));
    expectThat(`a description in one line, got ${description}`, /^[^\n]{10,}$/.test(description));
  }),

  check('gives each token a number, whatever the capacity, the same each time, and changes none', (policy) => {
    for (const count of [1, 2, 30]) {
      for (const capacity of [0, 1, count - 1, count]) {
        const tokens = some(count, capacity);
        const before = JSON.stringify(tokens);
        const rank = Array.from(policy.rank(tokens));
        expectEqual('numbers', rank.length, count);
        expectThat(`numbers, got ${rank.join(', ')}`, rank.every((value) => typeof value === 'number' && !Number.isNaN(value)));
        expectEqual('the same numbers again', Array.from(policy.rank(tokens)), rank);
        expectEqual('tokens', JSON.stringify(tokens), before);
      }
    }
  }),

  check('ranks tokens the same in whatever order they are, unless it draws', (policy) => {
    if (policy.draws) return;
    const tokens = some(30, 20);
    const again = Array.from(policy.rank({ ...tokens, positions: tokens.positions.slice().reverse(), scores: tokens.scores.slice().reverse() }));
    expectEqual('numbers', again.reverse(), Array.from(policy.rank(tokens)));
  }),

  check('draws by its seed, layer and the number of tokens, if it draws', (policy) => {
    const tokens = some(60, 50);
    const others = [{ ...tokens, seed: 1 }, { ...tokens, layer: 0 }].map((other) => JSON.stringify(Array.from(policy.rank(other))));
    const rank = JSON.stringify(Array.from(policy.rank(tokens)));
    for (const other of others) expectThat(`ranks that ${policy.draws ? 'differ' : 'are the same'} for another seed and layer`, (other !== rank) === (policy.draws ?? false));
  }),

  check('never ranks the newest token lowest', (policy) => {
    for (const capacity of [1, 2, 7, 30]) {
      const tokens = some(capacity + 1, capacity);
      expectThat(`the newest of ${capacity + 1} tokens to stay`, lowestOf(policy, tokens) !== tokens.positions.indexOf(tokens.tokensSeen - 1));
    }
  }),

  check('ranks by attention only where it accumulates it, and gives more of it a higher score', (policy) => {
    const tokens = some(30, 20);
    const others = { ...tokens, scores: tokens.scores.map((score) => 1 - score) };
    const same = JSON.stringify(Array.from(policy.rank(tokens))) === JSON.stringify(Array.from(policy.rank(others)));
    expectThat('ranks to depend on scores where the policy accumulates attention, and nowhere else', same === !policy.accumulate);
    for (const [queries, capacity] of [[1, 20], [2, 20], [9, 20], [1, 1]] as const) {
      const scores = [0, 0.25, 0.5, 1].map((probability) => policy.accumulate?.(0.5, probability, queries, capacity) ?? probability);
      expectThat(`finite scores that rise with attention, got ${scores.join(', ')}`, scores.every((score, i) => Number.isFinite(score) && (i === 0 || score > scores[i - 1]!)));
    }
  }),

  check('evicts: keeps all tokens up to the capacity, and that number from then on, in every layer', (policy) => {
    for (const share of [0.05, 0.5, 1]) {
      const cache = newPool().create(limited(policy, { tokens: share }));
      expectEqual('whether the cache observes', cache.observes, policy.accumulate !== undefined);
      for (let seen = 1; seen <= 2 * MAX_TOKENS; seen++) {
        steps(cache, 1);
        const kept = Math.min(seen, share * MAX_TOKENS);
        expectEqual(`tokens kept of ${seen}`, LAYERS.map((layer) => cache.tokensKept(layer)), [kept, kept]);
        expectThat('the newest token to stay', placesOf(cache).every((places) => places.at(-1) !== null));
      }
    }
  }),

  check('evicts: keeps as many of a prompt, of its capacity, of one token more, and of a long one', (policy) => {
    const capacity = MAX_TOKENS / 2;
    for (const count of [capacity, capacity + 1, 3 * MAX_TOKENS]) {
      const cache = newPool().create(limited(policy, { tokens: 0.5 }));
      rows(cache, count);
      expectEqual(`tokens kept of ${count}`, LAYERS.map((layer) => cache.tokensKept(layer)), [capacity, capacity]);
    }
  }),

  check('evicts within bytes, and coarsens nothing', (policy) => {
    for (const bytes of [2 * 2 * FINEST, 1000]) {
      const cache = newPool().create(limited(policy, { bytes }, 'evict'));
      for (let seen = 1; seen <= 2 * MAX_TOKENS; seen++) {
        steps(cache, 1);
        expectThat(`at most ${bytes} bytes, got ${cache.bytes().used}`, cache.bytes().used <= bytes);
        const moved = placesOf(cache).some((places, layer) => places.some((arena, token) => arena !== null && arena !== (token + layer) % 2));
        expectThat('every token that is kept to stay with its expert', !moved && cache.expertCounts().length === 2);
        expectThat('the newest token to stay, where there is room for more', bytes < 1000 || placesOf(cache).every((places) => places.at(-1) !== null));
      }
      expectThat('tokens to be evicted', cache.tokensKept(0) < 2 * MAX_TOKENS);
    }
  }),

  check('needs its bytes to the last one', (policy) => {
    for (const [action, least] of [['coarsen', LEAST], ['coarsen+evict', 2 * (COARSEST + FINEST)], ['evict', 4 * FINEST]] as const) {
      newPool().create(limited(policy, { bytes: least }, action));
      const message = messageOf(`a limit of ${least - 1} bytes`, () => newPool().create(limited(policy, { bytes: least - 1 }, action)));
      expectThat(`a message that names ${least} bytes, got ${message}`, message.includes(`at least ${least} bytes`));
    }
  }),

  check('coarsens: keeps every token within its bytes up to exactly maxTokens, and refuses one more', (policy) => {
    for (const bytes of [LEAST, LEAST + 1, 1000, 5000]) {
      const options = limited(policy, { bytes });
      const [stepped, prompted] = [newPool().create(options), newPool().create(options)];
      for (let seen = 1; seen <= MAX_TOKENS; seen++) {
        steps(stepped, 1);
        expectHeld(stepped, bytes, seen);
      }
      rows(prompted, MAX_TOKENS);
      expectHeld(prompted, bytes, MAX_TOKENS);
      for (const cache of [stepped, prompted]) {
        messageOf(`token ${MAX_TOKENS + 1} of ${MAX_TOKENS}`, () => cache.view(0));
        messageOf(`row ${MAX_TOKENS + 1} of ${MAX_TOKENS}`, () => rows(cache, 1));
      }
      messageOf(`a prompt of ${MAX_TOKENS + 1} tokens`, () => rows(newPool().create(options), MAX_TOKENS + 1));
    }
  }),

  check('coarsens when the next token would not fit, the lowest first, and no more than frees a 64th part', (policy) => {
    // 24 tokens take 960 bytes, and leave 40 for the next. At 25 there are 40 too few, and 55 are freed by 24 a token.
    const one: CacheLayout = { ...layout, layers: 1, formats: groups(4, 1, [1, 1]) };
    const cache = newPool(one).create({ cache: { policy, limit: { bytes: 1000 }, sizes: [4] }, maxTokens: 30 });
    steps(cache, 24, one);
    expectThat('no coarsened token of 24', placesOf(cache, 1)[0]!.every((arena) => arena !== 2));
    step(cache, one);
    const coarsened = placesOf(cache, 1)[0]!.flatMap((arena, token) => (arena === 2 ? [token] : []));
    const tokens = asObserved(policy, 25);
    const rank = policy.rank(tokens);
    const order = [...tokens.positions.keys()].sort((a, b) => rank[a]! - rank[b]! || tokens.positions[a]! - tokens.positions[b]!);
    expectEqual('tokens that were coarsened', coarsened, order.slice(0, 3).map((i) => tokens.positions[i]!).sort((a, b) => a - b));
  }),

  check('coarsens and evicts: evicts tokens when all are at the coarsest', (policy) => {
    const bytes = 2 * (10 * COARSEST + FINEST);
    const cache = newPool().create(limited(policy, { bytes }, 'coarsen+evict'));
    let gone = 0;
    for (let seen = 1; seen <= 60; seen++) {
      const before = LAYERS.map((layer) => cache.tokensKept(layer));
      steps(cache, 1);
      expectThat(`at most ${bytes} bytes, got ${cache.bytes().used}`, cache.bytes().used <= bytes);
      const places = placesOf(cache);
      for (const layer of LAYERS) {
        if (cache.tokensKept(layer) > before[layer]!) continue;
        gone++;
        expectThat('all tokens at the coarsest when one goes', places[layer]!.every((arena) => arena === null || arena === 2));
      }
    }
    expectThat('tokens to go', gone > 0);
  }),

  check('continues the same in a fork and when restored', async (policy) => {
    for (const [limit, action] of [[{ tokens: 0.5 }], [{ bytes: LEAST }], [{ bytes: LEAST / 2 }, 'coarsen+evict'], [{ bytes: LEAST / 2 }, 'evict']] as [CacheLimit, CacheAction?][]) {
      const options = limited(policy, limit, action);
      const pool = newPool();
      const cache = pool.create(options);
      steps(cache, MAX_TOKENS / 2);
      await expectSameAfterwards(pool, cache, MAX_TOKENS / 2, options);
    }
  }),
];

function check(name: string, run: (policy: CachePolicy) => Promise<void> | void): PolicyCheck {
  return { name, run: async (policy) => run(policy) };
}

function limited(policy: CachePolicy, limit: CacheLimit, action?: CacheAction): CreateOptions {
  return { cache: { policy, limit, ...(action && { action }) }, maxTokens: MAX_TOKENS };
}

function expectHeld(cache: KvCache, bytes: number, seen: number): void {
  expectEqual('tokens kept', LAYERS.map((layer) => cache.tokensKept(layer)), [seen, seen]);
  expectThat(`at most ${bytes} bytes, got ${cache.bytes().used}`, cache.bytes().used <= bytes);
}

/** Kept tokens of a longer sequence, in no order, the newest among them. */
function some(count: number, capacity: number): RankedTokens {
  const positions = Int32Array.from({ length: count }, (_, i) => (i % 2 === 0 ? i / 2 : count - (i + 1) / 2) * 3 + 2);
  return { layer: 1, tokensSeen: 3 * count, positions, scores: Float32Array.from(positions, (position) => attentionTo(position, 3)), capacity, seed: 0 };
}

/** Of equal ones the older. */
function lowestOf(policy: CachePolicy, tokens: RankedTokens): number {
  const rank = policy.rank(tokens);
  return [...tokens.positions.keys()].reduce((a, b) => (rank[b]! < rank[a]! || (rank[b] === rank[a] && tokens.positions[b]! < tokens.positions[a]!) ? b : a));
}

/** What a layer of 1000 bytes knows of its tokens, those of its first expert and then those of its second, after a number of steps. */
function asObserved(policy: CachePolicy, tokens: number): RankedTokens {
  const capacity = 1000 / FINEST - 1;
  const order = Array.from({ length: tokens }, (_, token) => token).sort((a, b) => (a % 2) - (b % 2) || a - b);
  const scores = new Float32Array(tokens);
  for (let query = 0; policy.accumulate && query < tokens; query++) {
    for (let token = 0; token <= query; token++) scores[token] = policy.accumulate(scores[token]!, attentionTo(token, query), 1, capacity);
  }
  return { layer: 0, tokensSeen: tokens, positions: Int32Array.from(order), scores: Float32Array.from(order, (token) => scores[token]!), capacity, seed: 0 };
}

import type { BudgetKind, BudgetPolicy, BudgetTokens } from '../budget/policy';
import type { KvCache } from '../cache';
import type { CreateOptions } from '../pool';
import type { CacheLayout } from '../layout';
import { attentionTo, expectEqual, expectSameAfterwards, expectThat, layout, messageOf, newPool, placesOf, rows, step, steps } from './drive';

export interface BudgetCheck {
  readonly name: string;
  /** Runs with caches on plain arrays, whose tokens have two experts. */
  run(kind: BudgetKind): Promise<void>;
}

const MAX_TOKENS = 20;
/** Bytes of a token in a layer of {@link layout}: 4, 2 or 1 heads of a float32 for keys and for values, and an entry of 8. */
const [FINEST, COARSEST] = [40, 16];
/** What {@link MAX_TOKENS} need where all but the newest are at the coarsest. */
const LEAST = 2 * ((MAX_TOKENS - 1) * COARSEST + FINEST);
const LAYERS = [0, 1];

export const budgetChecks: readonly BudgetCheck[] = [
  check('describes itself, and makes policies of the settings that it is given', ({ create, description }) => {
    expectThat(`a description in one line, got ${description}`, /^[^\n]{10,}$/.test(description));
    const { spec, evicts, groupSizes } = create({ spec: 'its text', evicts: true, groupSizes: [4] });
    expectEqual('settings', [spec, evicts, groupSizes], ['its text', true, [4]]);
    expectEqual('evicts', create({ spec: 'its text', evicts: false }).evicts, false);
  }),

  check('gives each token a number, in whatever order they are, the same each time, and changes none', (kind) => {
    const policy = keeping(kind);
    for (const count of [1, 2, 30]) {
      const tokens = some(count);
      const before = JSON.stringify(tokens);
      const importance = Array.from(policy.importance(tokens));
      expectEqual('numbers', importance.length, count);
      expectThat(`numbers, got ${importance.join(', ')}`, importance.every((value) => typeof value === 'number' && !Number.isNaN(value)));
      const again = Array.from(policy.importance({ ...tokens, positions: tokens.positions.slice().reverse(), scores: tokens.scores.slice().reverse() }));
      expectThat('the same numbers in another order', again.reverse().every((value, i) => value === importance[i]));
      expectEqual('tokens', JSON.stringify(tokens), before);
    }
  }),

  check('ranks by attention only where it says so', (kind) => {
    const policy = keeping(kind);
    const tokens = some(30);
    const others = { ...tokens, scores: tokens.scores.map((score) => 1 - score) };
    const same = JSON.stringify(policy.importance(tokens)) === JSON.stringify(policy.importance(others));
    expectThat('importance to depend on scores where the policy observes, and nowhere else', same === !policy.accumulate);
    if (!policy.accumulate) return;
    const scores = [0, 0.25, 0.5, 1].map((probability) => policy.accumulate!(0.5, probability, 1));
    expectThat(`scores that rise with attention, got ${scores.join(', ')}`, scores.every((score, i) => Number.isFinite(score) && (i === 0 || score > scores[i - 1]!)));
  }),

  check('needs its bytes to the last one', (kind) => {
    for (const [policy, least, maxTokens] of [[keeping(kind), LEAST, MAX_TOKENS], [evicting(kind), 2 * (COARSEST + FINEST), undefined]] as const) {
      newPool().create({ budget: { bytes: least, policy }, maxTokens });
      const message = messageOf(`a budget of ${least - 1} bytes`, () => newPool().create({ budget: { bytes: least - 1, policy }, maxTokens }));
      expectThat(`a message that names ${least} bytes, got ${message}`, message.includes(`at least ${least} bytes`));
    }
  }),

  check('keeps every token within its bytes up to exactly maxTokens, and refuses one more', (kind) => {
    for (const bytes of [LEAST, LEAST + 1, 1000, 5000]) {
      const options = { budget: { bytes, policy: keeping(kind) }, maxTokens: MAX_TOKENS };
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

  check('coarsens when the next token would not fit, the least important first, and no more than frees a 64th part', async (kind) => {
    const policy = kind.create({ spec: 'its text', evicts: false, groupSizes: [4] });
    // 24 tokens take 960 bytes, and leave 40 for the next. At 25 there are 40 too few, and 55 are freed by 24 a token.
    const one: CacheLayout = { ...layout, layers: 1, groupSizes: [1, 1] };
    const cache = newPool(one).create({ budget: { bytes: 1000, policy }, maxTokens: 30 });
    steps(cache, 24, one);
    expectThat('no coarsened token of 24', placesOf(cache, 1)[0]!.every((arena) => arena !== 2));
    step(cache, one);
    const coarsened = placesOf(cache, 1)[0]!.flatMap((arena, token) => (arena === 2 ? [token] : []));
    const tokens = asObserved(policy, 25);
    const importance = policy.importance(tokens);
    const order = [...tokens.positions].sort((a, b) => importance[a]! - importance[b]! || a - b);
    expectEqual('tokens that lost heads', coarsened, order.slice(0, 3).sort((a, b) => a - b));
    return Promise.resolve();
  }),

  check('gives tokens up only where that was asked for, and when all are at the coarsest', (kind) => {
    const bytes = 2 * (10 * COARSEST + FINEST);
    const cache = newPool().create({ budget: { bytes, policy: evicting(kind) } });
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

  check('goes on the same in a fork and when restored', async (kind) => {
    const budget: CreateOptions = { budget: { bytes: LEAST, policy: keeping(kind) }, maxTokens: MAX_TOKENS };
    const pool = newPool();
    const cache = pool.create(budget);
    steps(cache, MAX_TOKENS / 2);
    await expectSameAfterwards(pool, cache, MAX_TOKENS / 2, budget);
  }),
];

function check(name: string, run: (kind: BudgetKind) => Promise<void> | void): BudgetCheck {
  return { name, run: async (kind) => run(kind) };
}

function keeping(kind: BudgetKind): BudgetPolicy {
  return kind.create({ spec: 'its text', evicts: false });
}

function evicting(kind: BudgetKind): BudgetPolicy {
  return kind.create({ spec: 'its text:evict', evicts: true });
}

function expectHeld(cache: KvCache, bytes: number, seen: number): void {
  expectEqual('tokens kept', LAYERS.map((layer) => cache.tokensKept(layer)), [seen, seen]);
  expectThat(`at most ${bytes} bytes, got ${cache.bytes().used}`, cache.bytes().used <= bytes);
}

/** Tokens of a longer sequence, in no order. */
function some(count: number): BudgetTokens {
  const positions = Int32Array.from({ length: count }, (_, i) => (i % 2 === 0 ? i / 2 : count - (i + 1) / 2) * 3 + 2);
  const scores = Float32Array.from(positions, (position) => attentionTo(position, 3));
  return { layer: 1, tokensSeen: 3 * count, positions, scores, capacity: count };
}

/** What a layer of `bytes` 1000 knows of its tokens, in their order, after a number of steps. */
function asObserved(policy: BudgetPolicy, tokens: number): BudgetTokens {
  const positions = Int32Array.from({ length: tokens }, (_, i) => i);
  const scores = new Float32Array(tokens);
  for (let query = 0; policy.accumulate && query < tokens; query++) {
    for (let token = 0; token <= query; token++) scores[token] = policy.accumulate(scores[token]!, attentionTo(token, query), 1);
  }
  return { layer: 0, tokensSeen: tokens, positions, scores, capacity: 1000 / FINEST };
}

/**
 * The conformance suite of page stores: run every check of {@link pageStoreChecks} on each store that matters, in any test
 * runner. A check rejects with an Error that says what does not hold.
 */
import { BackendError, MixsgaError } from '../errors';
import { dequantiseHeads, headBytes, quantiseHeads, type KvType } from '../inference/kv-type';
import { TOKENS_PER_PAGE, type PageStore } from '../inference/pages';
import { storedGroups } from '../formats/grouped/stored';
import type { Pooling } from '../inference/pooling';
import { SeededRandom } from '../random';

export interface PageStoreCheck {
  readonly name: string;
  /**
   * @param create an empty store, of these stored heads, head dimension and element type, which the check disposes
   * @param type element type of the stores that it makes. Default f32
   */
  run(create: CreateStore, type?: KvType): Promise<void>;
}

export type CreateStore = (heads: number, headDim: number, type: KvType) => PageStore;

/** Keys and values of some tokens: float32 [tokens, heads, headDim]. */
interface Tokens {
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/** Stored heads and head dimension: vectors of 4 that fit, and rows that they do not. */
const FORMATS = [1, 2, 3, 12].flatMap((heads) => [4, 6, 16, 64].map((headDim) => [heads, headDim] as const));

export const pageStoreChecks: readonly PageStoreCheck[] = [
  check('says what it holds', async (store, { heads, headDim, type }) => {
    equal('heads', store.heads, heads);
    equal('headDim', store.headDim, headDim);
    equal('type', store.type, type);
    equal('bytesPerToken', store.bytesPerToken, 2 * heads * headBytes(type, headDim));
    atLeast('bytesPerPage', store.bytesPerPage, TOKENS_PER_PAGE * store.bytesPerToken);
  }),

  check('gives numbers within half a step of those written when it quantises, else the same, and takes back what it gave', async (store, { heads, headDim, type }) => {
    const random = new SeededRandom(heads * headDim);
    const draw = () => Float32Array.from({ length: TOKENS_PER_PAGE * heads * headDim }, (_, i) => random.normal() * 10 ** ((Math.floor(i / headDim) % 9) - 4));
    const written = { k: draw(), v: draw() };
    // A head of nothing, and one of hardly anything.
    written.k.fill(0, 0, headDim);
    written.v.fill(1e-33, 0, headDim);
    const [page, other] = [store.allocate(), store.allocate()];
    store.write(page, 0, written.k, written.v);
    const read = await store.read(page, TOKENS_PER_PAGE);
    if (type === 'f32') same('what was written', read, written);
    else for (const kind of ['k', 'v'] as const) withinSteps(`${kind} of what was written`, read[kind], written[kind], headDim, 0.5);
    store.write(other, 0, read.k, read.v);
    same('what was read and written again', await store.read(other, TOKENS_PER_PAGE), read);
  }),

  check('gives back what was written, in runs of any length from any slot', async (store, { draw }) => {
    const page = store.allocate();
    const tokens = draw(TOKENS_PER_PAGE);
    for (let first = 0, length = 1; first < TOKENS_PER_PAGE; first += length, length += 2) {
      const run = slice(store, tokens, first, Math.min(TOKENS_PER_PAGE, first + length));
      store.write(page, first, run.k, run.v);
    }
    for (const count of [TOKENS_PER_PAGE, 1, 5, 31]) {
      same(`the first ${count} tokens`, await store.read(page, count), slice(store, tokens, 0, count));
    }
  }),

  check('overwrites the slots that it is given, and no others', async (store, { draw }) => {
    const page = store.allocate();
    const [old, replaced] = [draw(TOKENS_PER_PAGE), draw(3)];
    store.write(page, 0, old.k, old.v);
    store.write(page, 7, replaced.k, replaced.v);
    same('the page', await store.read(page, TOKENS_PER_PAGE), splice(store, old, 7, replaced));
  }),

  check('keeps pages apart, as many as there are', async (store, { draw }) => {
    const pages = Array.from({ length: 40 }, () => ({ page: store.allocate(), tokens: draw(TOKENS_PER_PAGE) }));
    equal('different pages', new Set(pages.map(({ page }) => page)).size, pages.length);
    for (const { page, tokens } of pages) store.write(page, 0, tokens.k, tokens.v);
    for (const { page, tokens } of pages) same(`page ${page}`, await store.read(page, TOKENS_PER_PAGE), tokens);
  }),

  check('copies the first tokens of a page', async (store, { draw }) => {
    const [from, to] = [store.allocate(), store.allocate()];
    const [source, target] = [draw(TOKENS_PER_PAGE), draw(TOKENS_PER_PAGE)];
    store.write(from, 0, source.k, source.v);
    for (const count of [1, 13, TOKENS_PER_PAGE]) {
      store.write(to, 0, target.k, target.v);
      store.copy(from, to, count);
      same(`the copy of ${count} tokens`, await store.read(to, count), slice(store, source, 0, count));
    }
    same('the source', await store.read(from, TOKENS_PER_PAGE), source);
  }),

  check('moves a token within a page and between two, and no others', async (store, { draw }) => {
    const [a, b] = [store.allocate(), store.allocate()];
    const [inA, inB] = [draw(TOKENS_PER_PAGE), draw(TOKENS_PER_PAGE)];
    store.write(a, 0, inA.k, inA.v);
    store.write(b, 0, inB.k, inB.v);
    store.move({ page: a, offset: 31 }, { page: a, offset: 2 });
    store.move({ page: a, offset: 17 }, { page: b, offset: 9 });
    store.move({ page: b, offset: 9 }, { page: b, offset: 0 });
    const token = slice(store, inA, 17, 18);
    same('one page', await store.read(a, TOKENS_PER_PAGE), splice(store, inA, 2, slice(store, inA, 31, 32)));
    same('the other', await store.read(b, TOKENS_PER_PAGE), splice(store, splice(store, inB, 9, token), 0, token));
  }),

  check('coarsens tokens into a store of fewer heads, and leaves them where they are', async (store, { heads, headDim, type, draw, create }) => {
    for (const groupSize of [2, 3, 4, 12].filter((size) => heads % size === 0)) {
      const target = create(heads / groupSize, headDim, type);
      try {
        const [a, b] = [store.allocate(), store.allocate()];
        const [c, d] = [target.allocate(), target.allocate()];
        const [inA, inB] = [draw(TOKENS_PER_PAGE), draw(TOKENS_PER_PAGE)];
        store.write(a, 0, inA.k, inA.v);
        store.write(b, 0, inB.k, inB.v);
        for (const pooling of ['mean', 'root'] as const) {
          const { coarser } = storedGroups({ kvHeads: heads, headDim, groupSize: 1, pooling });
          const all = draw(TOKENS_PER_PAGE);
          const old = slice(target, all, 0, TOKENS_PER_PAGE);
          for (const page of [c, d]) target.write(page, 0, old.k, old.v);
          const moves = [[a, 3, c, 31], [b, 0, d, 8], [a, 31, d, 0]] as const;
          store.coarsen(moves.map(([page, offset, to, at]) => ({ from: { page, offset }, to: { page: to, offset: at } })), target, coarser!.to(coarser!.sizes!.form(groupSize))!);
          const pooled = (tokens: Tokens, token: number) => pool(slice(store, tokens, token, token + 1), groupSize, headDim, pooling);
          const what = `a page of tokens of ${groupSize} heads pooled by ${pooling}`;
          near(what, await target.read(c, TOKENS_PER_PAGE), splice(target, old, 31, pooled(inA, 3)), target);
          near(what, await target.read(d, TOKENS_PER_PAGE), splice(target, splice(target, old, 8, pooled(inB, 0)), 0, pooled(inA, 31)), target);
        }
        same('the source', await store.read(a, TOKENS_PER_PAGE), inA);
      } finally {
        target.dispose();
      }
    }
  }),

  check('takes released pages first, without more memory', async (store, { draw }) => {
    const pages = Array.from({ length: 9 }, () => store.allocate());
    const kept = draw(TOKENS_PER_PAGE);
    for (const page of pages) store.write(page, 0, kept.k, kept.v);
    const before = store.allocatedBytes;
    const released = [pages[6]!, pages[0]!, pages[3]!];
    for (const page of released) store.release(page);
    equal('allocatedBytes after release', store.allocatedBytes, before);
    const again = released.map(() => store.allocate());
    equal('pages taken again', [...again].sort((a, b) => a - b).join(), [...released].sort((a, b) => a - b).join());
    equal('allocatedBytes when they are taken again', store.allocatedBytes, before);
    const tokens = draw(TOKENS_PER_PAGE);
    for (const page of again) store.write(page, 0, tokens.k, tokens.v);
    for (const page of pages) same(`page ${page}`, await store.read(page, TOKENS_PER_PAGE), again.includes(page) ? tokens : kept);
  }),

  check('counts the memory of its pages, and of none when it is disposed', async (store) => {
    for (let count = 1; count <= 9; count++) {
      store.allocate();
      atLeast(`allocatedBytes with ${count} pages`, store.allocatedBytes, count * store.bytesPerPage);
    }
    store.dispose();
    equal('allocatedBytes when disposed', store.allocatedBytes, 0);
  }),

  check('refuses to release a page that is not taken', async (store) => {
    const page = store.allocate();
    store.release(page);
    for (const free of [page, page + 1, -1]) refuses(() => store.release(free), `expected a page that is taken, got ${free}`);
    equal('the page that is taken next', store.allocate(), page);
  }),
];

interface Setting {
  readonly heads: number;
  readonly headDim: number;
  readonly type: KvType;
  /** Tokens that a store gives back as they are. With f32 no two elements are the same, in any call. */
  draw(tokens: number): Tokens;
  /** Another store, which the check disposes. */
  readonly create: CreateStore;
}

function check(name: string, run: (store: PageStore, setting: Setting) => Promise<void>): PageStoreCheck {
  return {
    name,
    async run(create, type = 'f32') {
      for (const [heads, headDim] of FORMATS) {
        const store = create(heads, headDim, type);
        try {
          await run(store, { heads, headDim, type, create, draw: drawing(type, heads, headDim) });
        } catch (error) {
          throw new MixsgaError(`${heads} heads of ${headDim}: ${(error as Error).message}`, { cause: error });
        } finally {
          store.dispose();
        }
      }
    },
  };
}

function drawing(type: KvType, heads: number, headDim: number): Setting['draw'] {
  let drawn = 0;
  const next = () => (type === 'f32' ? ++drawn : ((++drawn * 73) % 509) - 254 + drawn / 1000);
  const values = (tokens: number) => {
    const x = new Float32Array(tokens * heads * headDim).map(next);
    return type === 'f32' ? x : dequantiseHeads(quantiseHeads(x, headDim));
  };
  return (tokens) => ({ k: values(tokens), v: values(tokens) });
}

function slice({ heads, headDim }: PageStore, { k, v }: Tokens, first: number, end: number): Tokens {
  const [from, to] = [first * heads * headDim, end * heads * headDim];
  return { k: k.slice(from, to), v: v.slice(from, to) };
}

/** Tokens, from `first` on replaced by others. */
function splice({ heads, headDim }: PageStore, tokens: Tokens, first: number, others: Tokens): Tokens {
  const result = { k: tokens.k.slice(), v: tokens.v.slice() };
  result.k.set(others.k, first * heads * headDim);
  result.v.set(others.v, first * heads * headDim);
  return result;
}

/** A token whose runs of `groupSize` heads became one. */
function pool({ k, v }: Tokens, groupSize: number, headDim: number, pooling: Pooling): Tokens {
  const pooled = (x: Float32Array) =>
    new Float32Array(x.length / groupSize).map((_, i) => {
      const first = Math.floor(i / headDim) * groupSize * headDim + (i % headDim);
      const sum = Array.from({ length: groupSize }, (__, head) => x[first + head * headDim]!).reduce((a, b) => a + b);
      return sum / (pooling === 'root' ? Math.sqrt(groupSize) : groupSize);
    });
  return { k: pooled(k), v: pooled(v) };
}

/** Up to the rounding of float32, or of int8. */
function near(what: string, actual: Tokens, expected: Tokens, { type, headDim }: PageStore): void {
  for (const kind of ['k', 'v'] as const) {
    if (type === 'int8') {
      withinSteps(`${kind} of ${what}`, actual[kind], expected[kind], headDim, 0.5);
      continue;
    }
    equal(`length of ${kind} of ${what}`, actual[kind].length, expected[kind].length);
    const at = expected[kind].findIndex((value, i) => !(Math.abs(value - actual[kind][i]!) <= 1e-6 * Math.abs(value)));
    if (at >= 0) equal(`${kind}[${at}] of ${what}`, actual[kind][at], expected[kind][at]);
  }
}

/** Each number within a number of int8 steps of the expected one; a step is the largest of its head over 127. */
function withinSteps(what: string, actual: Float32Array, expected: Float32Array, headDim: number, steps: number): void {
  expected.forEach((value, i) => {
    const head = expected.subarray(i - (i % headDim), i - (i % headDim) + headDim);
    const step = Math.max(head.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127, 1e-30);
    // The scale has 17 bits, and where the float32 sums of devices differ a number can fall on the other side of a half.
    if (!(Math.abs(actual[i]! - value) <= step * (steps + 0.01))) equal(`${what} at ${i}, within ${steps} steps of ${step},`, actual[i], value);
  });
}

function same(what: string, actual: Tokens, expected: Tokens): void {
  for (const kind of ['k', 'v'] as const) {
    equal(`length of ${kind} of ${what}`, actual[kind].length, expected[kind].length);
    const at = expected[kind].findIndex((value, i) => value !== actual[kind][i]);
    if (at >= 0) equal(`${kind}[${at}] of ${what}`, actual[kind][at], expected[kind][at]);
  }
}

function equal(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new MixsgaError(`expected ${what} to be ${String(expected)}, got ${String(actual)}`);
}

function atLeast(what: string, actual: number, least: number): void {
  if (!(actual >= least)) throw new MixsgaError(`expected ${what} to be at least ${least}, got ${actual}`);
}

function refuses(f: () => void, message: string): void {
  try {
    f();
  } catch (error) {
    if (BackendError.isInstance(error) && error.message.includes(message)) return;
    throw new MixsgaError(`expected a BackendError with '${message}', got ${String(error)}`, { cause: error });
  }
  throw new MixsgaError(`expected a BackendError with '${message}', got none`);
}

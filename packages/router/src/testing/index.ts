/**
 * The conformance suite of routers: run every check of {@link routerChecks} on each backend that matters, in any test
 * runner. A check rejects with an Error that says what does not hold.
 */
import { SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { expectDeclared } from '../declared';
import type { Router, RouterFactory, RouterOptions } from '../router';
import { plainExpertChoice } from './plain';

export { plainExpertChoice } from './plain';

export interface RouterCheck {
  readonly name: string;
  /** Runs on the active tfjs backend. */
  run(factory: RouterFactory): Promise<void>;
}

interface Setting {
  readonly router: Router;
  readonly options: RouterOptions;
  /** Another router, of the same options by default. */
  again(options?: RouterOptions): Router;
  readonly factory: RouterFactory;
}

const BATCH = 3;
const LENGTH = 17;
const HIDDEN = 12;
const MIXES = [[0.3, 0.1, 0.6], [0.5, 0.5, 0], [0, 0, 1], [0.25, 0.25, 0.25, 0.25], [1]];

export const routerChecks: readonly RouterCheck[] = [
  check('gives scores and decisions of the declared shapes and types', async ({ router, options }) => {
    expectEqual('experts', [router.experts], [options.ratios.length]);
    const scores = router.score(seenBy(router));
    const [prefill, decoded] = [router.assign(scores), router.decode(scores)];
    expectShape('scores', scores, [BATCH, LENGTH, router.experts], 'float32');
    expectShape('assign', prefill, [BATCH, LENGTH], 'int32');
    expectShape('decode', decoded, [BATCH, LENGTH], 'int32');
    expectThat('finite scores', (await scores.data()).every(Number.isFinite));
    expectThat('a causal flag', typeof router.causal === 'boolean');
    expectThat('experts in range', (await decoded.data()).every((e) => e >= 0 && e < router.experts));
  }),

  check('is the same router for the same seed and layer', async ({ router, again }) => {
    const other = again();
    const scores = [router, other].map((r) => r.score(seenBy(r)));
    expectEqual('scores', await scores[0]!.data(), await scores[1]!.data());
    other.dispose();
  }),

  check('assigns by progressive expert choice over its scores, or as it decodes when it is causal, padding apart', async (setting) => {
    const { router } = setting;
    const scores = router.score(seenBy(router));
    const mask = tf.tensor2d(padded(), [BATCH, LENGTH], 'int32');
    const expected = router.causal ? await asDecoded(router, scores) : await byExpertChoice(setting, scores);
    expectEqual('assignment', await router.assign(scores).data(), expected.all);
    expectEqual('masked assignment', await router.assign(scores, mask).data(), expected.masked);
  }),

  check('scores and decodes every token alone', async ({ router }) => {
    const x = seenBy(router);
    const scores = router.score(x);
    const decoded = router.decode(scores);
    const one = router.score(tf.slice(x, [1, 5, 0], [1, 1, x.shape[2]]));
    await expectClose('scores of one token', one, tf.slice(scores, [1, 5, 0], [1, 1, router.experts]));
    const part = router.decode(tf.slice(scores, [1, 4, 0], [2, 3, router.experts]));
    expectEqual('decode of a part', await part.data(), await tf.slice(decoded, [1, 4], [2, 3]).data());
  }),

  check('has a loss that padding does not touch', async ({ router }) => {
    const scores = router.score(seenBy(router));
    const mask = tf.tensor2d(padded(), [BATCH, LENGTH], 'int32');
    const assignment = router.assign(scores, mask);
    const loss = router.loss(scores, assignment);
    expectShape('loss', loss, [], 'float32');
    const cell = tf.reshape(tf.cast(mask, 'float32'), [BATCH, LENGTH, 1]);
    const spoilt = tf.add<Tensor3D>(scores, tf.mul(tf.sub(1, cell), 3));
    await expectClose('loss with other scores in the padding', router.loss(spoilt, assignment), loss);
    await expectClose('loss with the mask given again', router.loss(scores, assignment, mask), loss);
  }),

  check('trains each variable along the gradient of finite differences', async ({ router }) => {
    const x = seenBy(router);
    const assignment = router.assign(router.score(x));
    const weights = normal(assignment.shape.concat(router.experts), 3);
    // A causal router has nothing to foresee, and no loss of its own: it learns through its scores.
    const objective = () =>
      tf.tidy(() => (router.causal ? tf.sum<tf.Scalar>(tf.mul(router.score(x), weights)) : router.loss(router.score(x), assignment)));
    for (const [name, variable] of Object.entries(router.trainable)) {
      const { grads } = tf.variableGrads(objective, [variable]);
      const gradient = grads[variable.name];
      expectThat(`a gradient of ${name}`, gradient !== undefined);
      const origin = tf.clone(variable);
      const step = normal(variable.shape, 9);
      const along = (h: number) => {
        variable.assign(tf.add(origin, tf.mul(step, h)));
        return objective();
      };
      const slope = tf.div(tf.sub(along(0.005), along(-0.005)), 0.01);
      variable.assign(origin);
      await expectClose(`derivative along ${name}`, tf.sum(tf.mul(gradient!, step)), slope, 5e-3, 2e-4);
    }
  }),

  check('comes back from the variables that it stores, which are those that it declares', async ({ router, options, again, factory }) => {
    await router.balance?.(await balanced(router, seenBy(router)), 1);
    const stored = { ...router.trainable, ...router.buffers };
    expectDeclared('variables', router, factory, options);
    const values: Record<string, Float32Array> = {};
    for (const name of Object.keys(stored)) values[name] = await stored[name]!.data<'float32'>();
    const other = again({ ...options, weights: values });
    expectEqual('scores', await other.score(seenBy(other)).data(), await router.score(seenBy(router)).data());
    other.dispose();
  }),

  check('keeps its buffers from the optimizer', ({ router }) => {
    for (const [name, variable] of Object.entries(router.buffers)) {
      expectThat(`buffer ${name} not to be trainable`, !variable.trainable && !(name in router.trainable));
    }
    const fixed = Object.entries(router.trainable).find(([, variable]) => !variable.trainable);
    expectThat(`${fixed?.[0]} to be trainable`, fixed === undefined);
    return Promise.resolve();
  }),

  check('holds the ratios by balancing, on tokens that it was not balanced on, and moves its buffers alone', async ({ router, options }) => {
    if (!router.balance) return;
    const trained = await Promise.all(Object.values(router.trainable).map((variable) => variable.data()));
    const before = trained.map((values) => Array.from(values));
    for (let step = 1; step <= 20; step++) {
      await router.balance(await balanced(router, seenBy(router, [1, 400], 100 + step)), Math.max(0.1, 1 / step));
    }
    const decoded = await router.decode(router.score(seenBy(router, [1, 4000], 99))).data();
    options.ratios.forEach((ratio, expert) => {
      const share = decoded.filter((each) => each === expert).length / decoded.length;
      const bound = ratio === 0 ? 0 : 0.035; // four standard deviations of what 4,000 tokens, and the last steps' 400, can tell
      expectThat(`a share of ${ratio} for expert ${expert}, got ${share}`, Math.abs(share - ratio) <= bound);
    });
    const after = await Promise.all(Object.values(router.trainable).map((variable) => variable.data()));
    after.forEach((values, i) => expectEqual('trained values after balancing', values, before[i]!));
  }),

  check('leaves its arguments alone, leaves nothing behind, and frees what it owns', async ({ router: first, again }) => {
    const x = seenBy(first);
    const mask = tf.tensor2d(padded(), [BATCH, LENGTH], 'int32');
    const seen = first.balance && (await balanced(first, x));
    const before = tf.memory().numTensors;
    const router = again();
    const scores = router.score(x);
    const assignment = router.assign(scores, mask);
    if (seen) await router.balance?.(seen, 0.5);
    tf.dispose([router.decode(scores), router.loss(scores, assignment, mask), assignment, scores]);
    router.dispose();
    expectEqual('tensors after disposing', [tf.memory().numTensors], [before]);
    expectThat('arguments that are still there', !x.isDisposed && !mask.isDisposed);
  }),
];

interface Expected {
  readonly all: readonly number[];
  /** With the sequences {@link padded}. */
  readonly masked: readonly number[];
}

async function asDecoded(router: Router, scores: Tensor3D): Promise<Expected> {
  const all = Array.from(await router.decode(scores).data());
  return { all, masked: all.map((expert, token) => (padded()[token] ? expert : -1)) };
}

async function byExpertChoice({ options: { ratios } }: Setting, scores: Tensor3D): Promise<Expected> {
  const rows = await scores.array();
  const real = (sequence: number) => padded().slice(sequence * LENGTH, (sequence + 1) * LENGTH).map(Boolean);
  return {
    all: rows.flatMap((row) => plainExpertChoice(row, ratios)),
    masked: rows.flatMap((row, sequence) => plainExpertChoice(row, ratios, real(sequence))),
  };
}

function check(name: string, verify: (setting: Setting) => Promise<void>): RouterCheck {
  return {
    name,
    async run(factory) {
      for (const ratios of MIXES) {
        const options = { hiddenSize: HIDDEN, ratios, seed: 7, layer: 1 };
        tf.engine().startScope();
        const router = factory(options);
        try {
          await verify({ router, options, again: (other = options) => factory(other), factory });
        } catch (error) {
          const where = `router check '${name}' with ratios ${ratios.join(':')}`;
          throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
        } finally {
          router.dispose();
          tf.engine().endScope();
        }
      }
    },
  };
}

/** What a router reads: hidden states, or what experts lose of random tokens, more from one to the next. */
function seenBy({ experts, distortion }: Router, [batch, length]: [number, number] = [BATCH, LENGTH], stream = 1): Tensor3D {
  if (!distortion) return normal([batch, length, HIDDEN], stream) as Tensor3D;
  return tf.tidy(() => {
    const heads = tf.square(normal([batch, length, 2, experts + 1], stream));
    return tf.reshape(tf.concat([tf.sum(heads, 3, true), tf.cumsum(tf.slice(heads, [0, 0, 0, 1]), 3)], 3), [batch, length, 2 * (experts + 1)]);
  });
}

/** What {@link Router.balance} takes of what a router reads. */
async function balanced(router: Router, x: Tensor3D): Promise<Float32Array> {
  const seen = router.distortion ? tf.clone(x) : router.score(x);
  try {
    return (await seen.data()) as Float32Array;
  } finally {
    seen.dispose();
  }
}

function normal(shape: number[], stream: number): Tensor {
  const random = new SeededRandom(5, stream);
  return tf.tensor(Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()), shape);
}

/** 0 for padding: after the first sequence's 11 tokens, all over the second, none in the third. */
function padded(): number[] {
  return Array.from({ length: BATCH * LENGTH }, (_, i) => {
    const [sequence, token] = [Math.floor(i / LENGTH), i % LENGTH];
    return sequence === 0 ? Number(token < 11) : sequence === 1 ? Number(token % 3 !== 0) : 1;
  });
}

function expectThat(what: string, holds: boolean): void {
  if (!holds) throw new Error(`expected ${what}`);
}

function expectShape(what: string, tensor: Tensor | Tensor2D, shape: number[], dtype: string): void {
  if (tensor.shape.join() !== shape.join() || tensor.dtype !== dtype) {
    const got = `${tensor.dtype} [${tensor.shape.join(', ')}]`;
    throw new Error(`expected ${what} to be ${dtype} [${shape.join(', ')}], got ${got}`);
  }
}

function expectEqual(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  const [a, b] = [Array.from(actual), Array.from(expected)];
  const at = a.findIndex((value, i) => value !== b[i]);
  if (a.length !== b.length || at >= 0) throw new Error(`expected ${what} ${b.join(' ')}, got ${a.join(' ')}`);
}

async function expectClose(what: string, actual: Tensor, expected: Tensor, relative = 1e-4, absolute = 1e-6): Promise<void> {
  const [a, b] = [await actual.data(), await expected.data()];
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    // Written so that NaN fails too.
    if (!(Math.abs(a[i]! - b[i]!) <= relative * Math.abs(b[i]!) + absolute)) {
      throw new Error(`expected ${what} to be ${b[i]} at element ${i}, got ${a[i]}`);
    }
  }
}

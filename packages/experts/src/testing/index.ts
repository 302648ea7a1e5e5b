/**
 * The conformance suite of expert types: run every check of {@link expertChecks} on each backend that matters, in
 * any test runner. A check rejects with an Error that says what does not hold.
 */
import { groupMean, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import type { Expert, ExpertFactory } from '../expert';

export interface ExpertCheck {
  readonly name: string;
  /** Runs on the active tfjs backend. */
  run(factory: ExpertFactory): Promise<void>;
}

const HEAD_DIM = 5;
const TOKENS = 7;
const LAYOUTS = [
  { kvHeads: 8, groupSize: 1 },
  { kvHeads: 8, groupSize: 2 },
  { kvHeads: 8, groupSize: 4 },
  { kvHeads: 8, groupSize: 8 },
  { kvHeads: 6, groupSize: 3 },
];

export const expertChecks: readonly ExpertCheck[] = [
  check('stores and reads back the shapes that it declares, for any leading dimensions', async (expert) => {
    for (const leading of [[], [3], [2, 3]]) {
      const stored = expert.compress(...pair([...leading, expert.kvHeads, HEAD_DIM]));
      expectShape('stored k', stored.k, [...leading, expert.storedHeads.k, HEAD_DIM]);
      expectShape('stored v', stored.v, [...leading, expert.storedHeads.v, HEAD_DIM]);
      const read = expert.expand(stored);
      expectShape('expanded k', read.k, [...leading, expert.kvHeads, HEAD_DIM]);
      expectShape('expanded v', read.v, [...leading, expert.kvHeads, HEAD_DIM]);
    }
  }),

  check('treats every token alone', async (expert) => {
    const [k, v] = pair([TOKENS, expert.kvHeads, HEAD_DIM]);
    const all = expert.expand(expert.compress(k, v));
    const one = expert.expand(expert.compress(tf.slice(k, 3, 1), tf.slice(v, 3, 1)));
    await expectClose('k of one token', one.k, tf.slice(all.k, 3, 1));
    await expectClose('v of one token', one.v, tf.slice(all.v, 3, 1));
  }),

  check('changes nothing when a read-back entry is stored again', async (expert) => {
    const stored = expert.compress(...pair([TOKENS, expert.kvHeads, HEAD_DIM]));
    const read = expert.expand(stored);
    const again = expert.compress(read.k, read.v);
    await expectClose('k', again.k, stored.k);
    await expectClose('v', again.v, stored.v);
  }),

  check('has the gradient that finite differences give', async (expert) => {
    const shape = [2, expert.kvHeads, HEAD_DIM];
    const [k, v] = pair(shape);
    const [weightK, weightV] = pair(shape, 1);
    const [stepK, stepV] = pair(shape, 2);
    const objective = (k: Tensor, v: Tensor): tf.Scalar => {
      const read = expert.expand(expert.compress(k, v));
      return tf.add(tf.sum(tf.mul(read.k, weightK)), tf.sum(tf.mul(read.v, weightV)));
    };
    const [gradK, gradV] = tf.grads((k: Tensor, v: Tensor) => objective(k, v))([k, v]);
    const directional = tf.add(tf.sum(tf.mul(gradK!, stepK)), tf.sum(tf.mul(gradV!, stepV)));
    const along = (h: number) => objective(tf.add(k, tf.mul(stepK, h)), tf.add(v, tf.mul(stepV, h)));
    await expectClose('directional derivative', directional, tf.div(tf.sub(along(0.05), along(-0.05)), 0.1), 1e-3);
  }),

  check('keeps its arguments and leaves nothing behind', async (expert) => {
    const [k, v] = pair([TOKENS, expert.kvHeads, HEAD_DIM]);
    const before = tf.memory().numTensors;
    const stored = expert.compress(k, v);
    const read = expert.expand(stored);
    tf.dispose([stored.k, stored.v, read.k, read.v]);
    if (tf.memory().numTensors !== before || k.isDisposed || v.isDisposed) {
      throw new Error(`expected ${before} tensors after disposing the results, got ${tf.memory().numTensors}`);
    }
  }),

  check('agrees with the fused operation when it declares a group size', async (expert) => {
    if (expert.groupSize === undefined) return;
    const width = expert.kvHeads * HEAD_DIM;
    const [k, v] = pair([TOKENS, expert.kvHeads, HEAD_DIM]);
    const read = expert.expand(expert.compress(k, v));
    const options = { headDim: HEAD_DIM, groupSizes: [expert.groupSize] };
    const assignment = tf.zeros<tf.Rank.R1>([TOKENS], 'int32');
    const fused = (x: Tensor) => groupMean(tf.reshape(x, [TOKENS, width]) as Tensor2D, assignment, options);
    await expectClose('k', tf.reshape(read.k, [TOKENS, width]), fused(k));
    await expectClose('v', tf.reshape(read.v, [TOKENS, width]), fused(v));
  }),
];

function check(name: string, verify: (expert: Expert) => Promise<void>): ExpertCheck {
  return {
    name,
    async run(factory) {
      for (const layout of LAYOUTS) {
        tf.engine().startScope();
        try {
          await verify(factory(layout));
        } catch (error) {
          const where = `expert check '${name}' with ${JSON.stringify(layout)}`;
          throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
        } finally {
          tf.engine().endScope();
        }
      }
    },
  };
}

function pair(shape: number[], stream = 0): [Tensor, Tensor] {
  const random = new SeededRandom(1, stream);
  const draw = () => tf.tensor(Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()), shape);
  return [draw(), draw()];
}

function expectShape(what: string, tensor: Tensor, shape: number[]): void {
  if (tensor.shape.join() !== shape.join()) {
    throw new Error(`expected ${what} of shape [${shape.join(', ')}], got [${tensor.shape.join(', ')}]`);
  }
}

async function expectClose(what: string, actual: Tensor, expected: Tensor, tolerance = 1e-5): Promise<void> {
  const [a, b] = [await actual.data(), await expected.data()];
  const scale = Math.max(...Array.from(b, Math.abs));
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    // Written so that NaN fails too.
    if (!(Math.abs(a[i]! - b[i]!) <= tolerance * scale)) {
      throw new Error(`expected ${what} to be ${b[i]} at element ${i}, got ${a[i]}`);
    }
  }
}

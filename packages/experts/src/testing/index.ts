/**
 * The conformance suite of expert types: run every check of {@link expertChecks} on each backend that matters, in
 * any test runner. A check rejects with an Error that says what does not hold.
 */
import { groupMean, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { mixKvByExperts } from '../mix';
import type { Expert, ExpertLayout } from '../expert';

/** Experts of one layer, of any number; what they need beside the layout is their maker's affair. */
export type ExpertsOf = (layout: ExpertLayout) => readonly Expert[];

export interface ExpertCheck {
  readonly name: string;
  /** Runs on the active tfjs backend, for several layouts. KV heads are 8 or 6. */
  run(create: ExpertsOf): Promise<void>;
}

const TOKENS = 7;
const LAYOUTS: readonly ExpertLayout[] = [{ kvHeads: 8, headDim: 5 }, { kvHeads: 6, headDim: 4 }];

export const expertChecks: readonly ExpertCheck[] = [
  check('stores and reads back the shapes that it declares, for any leading dimensions', async (expert) => {
    for (const leading of [[], [3], [2, 3]]) {
      const stored = expert.compress(...pair([...leading, expert.kvHeads, expert.headDim]));
      expectShape('what is stored', stored, [...leading, expert.stored.heads, expert.stored.headDim]);
      const read = expert.expand(stored);
      expectShape('expanded k', read.k, [...leading, expert.kvHeads, expert.headDim]);
      expectShape('expanded v', read.v, [...leading, expert.kvHeads, expert.headDim]);
    }
  }),

  check('treats every token alone', async (expert) => {
    const [k, v] = pair([TOKENS, expert.kvHeads, expert.headDim]);
    const all = expert.expand(expert.compress(k, v));
    const one = expert.expand(expert.compress(tf.slice(k, 3, 1), tf.slice(v, 3, 1)));
    await expectClose('k of one token', one.k, tf.slice(all.k, 3, 1));
    await expectClose('v of one token', one.v, tf.slice(all.v, 3, 1));
  }),

  check('changes nothing when a read-back entry is stored again', async (expert) => {
    const stored = expert.compress(...pair([TOKENS, expert.kvHeads, expert.headDim]));
    const read = expert.expand(stored);
    await expectClose('what is stored', expert.compress(read.k, read.v), stored);
  }),

  check('has the gradient that finite differences give', async (expert) => {
    const shape = [2, expert.kvHeads, expert.headDim];
    const [k, v] = pair(shape);
    const [weightK, weightV] = pair(shape, 1);
    const [stepK, stepV] = pair(shape, 2);
    const objective = (k: Tensor, v: Tensor): tf.Scalar => {
      const read = expert.expand(expert.compress(k, v));
      return tf.add(tf.sum(tf.mul(read.k, weightK)), tf.sum(tf.mul(read.v, weightV)));
    };
    const [gradK, gradV] = tf.grads((k: Tensor, v: Tensor) => objective(k, v))([k, v]);
    const directional = tf.add(tf.sum(tf.mul(gradK!, stepK)), tf.sum(tf.mul(gradV!, stepV)));
    const at = (h: number) => expert.expand(expert.compress(tf.add(k, tf.mul(stepK, h)), tf.add(v, tf.mul(stepV, h))));
    const [above, below] = [at(0.05), at(-0.05)];
    const change = tf.add(tf.sum(tf.mul(tf.sub(above.k, below.k), weightK)), tf.sum(tf.mul(tf.sub(above.v, below.v), weightV)));
    await expectClose('directional derivative', directional, tf.div(change, 0.1), 1e-3);
  }),

  check('keeps its arguments and leaves nothing behind', async (expert) => {
    const [k, v] = pair([TOKENS, expert.kvHeads, expert.headDim]);
    const before = tf.memory().numTensors;
    const stored = expert.compress(k, v);
    const read = expert.expand(stored);
    tf.dispose([stored, read.k, read.v]);
    if (tf.memory().numTensors !== before || k.isDisposed || v.isDisposed) {
      throw new Error(`expected ${before} tensors after disposing the results, got ${tf.memory().numTensors}`);
    }
  }),

  check('agrees with the fused operation when it declares a group size', async (expert) => {
    if (expert.groupSize === undefined) return;
    const width = expert.kvHeads * expert.headDim;
    const [k, v] = pair([TOKENS, expert.kvHeads, expert.headDim]);
    const read = expert.expand(expert.compress(k, v));
    const options = { headDim: expert.headDim, groupSizes: [expert.groupSize] };
    const assignment = tf.zeros<tf.Rank.R1>([TOKENS], 'int32');
    const fused = (x: Tensor) => groupMean(tf.reshape(x, [TOKENS, width]) as Tensor2D, assignment, options);
    await expectClose('k', tf.reshape(read.k, [TOKENS, width]), fused(k));
    await expectClose('v', tf.reshape(read.v, [TOKENS, width]), fused(v));
  }),

  checkAll('mixes tokens as each of their experts alone stores and reads them', async (experts) => {
    const { kvHeads, headDim } = experts[0]!;
    const [k, v] = pair([TOKENS, kvHeads, headDim]);
    const rows = (x: Tensor) => tf.reshape(x, [x.shape[0]!, kvHeads * headDim]) as Tensor2D;
    const assignment = Int32Array.from({ length: TOKENS }, (_, token) => (token % (experts.length + 1)) - 1);
    const mixed = mixKvByExperts(rows(k), rows(v), tf.tensor1d(assignment, 'int32'), experts);
    for (const [token, expert] of assignment.entries()) {
      const [own, ownV] = [tf.slice(k, token, 1), tf.slice(v, token, 1)];
      const read = expert < 0 ? { k: own, v: ownV } : experts[expert]!.expand(experts[expert]!.compress(own, ownV));
      await expectClose(`k of expert ${expert}`, tf.slice(mixed.k, token, 1), rows(read.k));
      await expectClose(`v of expert ${expert}`, tf.slice(mixed.v, token, 1), rows(read.v));
    }
  }),

  checkAll('has the first numbers of a finer expert where they are nested', async (experts) => {
    const { kvHeads, headDim } = experts[0]!;
    const [k, v] = pair([TOKENS, kvHeads, headDim]);
    for (const fine of experts) {
      for (const coarse of experts) {
        if (!fine.nestedIn || fine.nestedIn !== coarse.nestedIn || fine.stored.headDim < coarse.stored.headDim) continue;
        if (fine.stored.heads !== 1) throw new Error(`expected nested experts to store 1 vector, got ${fine.stored.heads}`);
        const first = tf.slice(fine.compress(k, v), [0, 0, 0], [TOKENS, 1, coarse.stored.headDim]);
        await expectClose('the numbers of the coarser expert', coarse.compress(k, v), first);
        const padded = tf.pad(first, [[0, 0], [0, 0], [0, fine.stored.headDim - coarse.stored.headDim]]);
        await expectClose('k', fine.expand(padded).k, coarse.expand(first).k);
        await expectClose('v', fine.expand(padded).v, coarse.expand(first).v);
      }
    }
  }),
];

/** A check of each expert alone. */
function check(name: string, verify: (expert: Expert) => Promise<void>): ExpertCheck {
  return checkAll(name, async (experts) => {
    for (const [index, expert] of experts.entries()) {
      try {
        await verify(expert);
      } catch (error) {
        throw new Error(`expert ${index}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
}

function checkAll(name: string, verify: (experts: readonly Expert[]) => Promise<void>): ExpertCheck {
  return {
    name,
    async run(create) {
      for (const layout of LAYOUTS) {
        tf.engine().startScope();
        try {
          const experts = create(layout);
          if (experts.length === 0) throw new Error('expected at least one expert, got none');
          await verify(experts);
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

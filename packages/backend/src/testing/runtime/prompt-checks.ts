import * as tf from '@tensorflow/tfjs-core';
import { slotOf } from '../../inference/host-pages';
import type { LayerView, StorePlan } from '../../inference/runtime';
import { expectNoLeaks } from '../leaks';
import type { RuntimeCheck } from './check';
import { check, storageCheck } from './check';
import { kv, type Variant, variants } from './decode-checks';
import type { Heads } from './plain';
import { plainAttend, plainLinear, plainPool, plainSpread } from './plain';
import type { Setting } from './setting';
import { close, FilledSegment, same } from './setting';

const INPUTS = 20;

export const promptChecks: readonly RuntimeCheck[] = [
  check('project and group give what the experts keep, spread over all heads', async (s) => {
    for (const variant of s.some(variants)) {
      for (const rows of [3, 40]) {
        const { kvHeads, headDim, groupSizes } = variant;
        const { weights, layer } = kv(s, variant);
        const x = s.normals(rows * INPUTS);
        const [k, v] = [s.rows(rows + 1, kvHeads * headDim), s.rows(rows + 1, kvHeads * headDim)];
        s.runtime.project(weights, s.filled(x, INPUTS), k, v, rows);
        const plain = [layer.k, layer.v].map((part) => plainLinear(x, rows, part.weight, part.bias, part.outputs));
        close('keys', await s.values(k, rows), plain[0]!);
        close('values', await s.values(v, rows), plain[1]!);
        const experts = Int32Array.from({ length: rows }, () => s.random.nextInt(groupSizes.length));
        s.runtime.grouped.group(weights, k, v, experts);
        close('grouped keys', await s.values(k, rows), grouped(plain[0]!, experts, variant));
        close('grouped values', await s.values(v, rows), grouped(plain[1]!, experts, variant));
      }
    }
  }),

  check('group takes any grouping of the heads that rows have: one token at the mean of them all', async (s) => {
    for (const { kvHeads, headDim } of s.some(variants)) {
      const [rows, width] = [5, kvHeads * headDim];
      const [k, v] = [s.normals(rows * width), s.normals(rows * width)];
      const [keys, values] = [s.filled(k, width), s.filled(v, width)];
      const grouping = { headDim, groupSizes: [1, kvHeads], pooling: 'mean' } as const;
      const experts = Int32Array.of(0, 0, 0, 1, 0);
      s.runtime.grouped.group(grouping, keys, values, experts);
      close('keys', await s.values(keys), grouped(k, experts, { kvHeads, ...grouping }));
      close('values', await s.values(values), grouped(v, experts, { kvHeads, ...grouping }));
    }
  }),

  check('distortions are the squared errors of what experts give back, of the first rows', async (s) => {
    for (const { kvHeads, headDim, ...grouping } of s.some(variants)) {
      const [rows, width, experts] = [3, kvHeads * headDim, grouping.groupSizes.length];
      const [k, v] = [s.normals(5 * width), s.normals(5 * width)];
      const out = s.filled(new Float32Array(4 * 2 * (experts + 1)).fill(7), 2 * (experts + 1));
      s.runtime.grouped.distortions({ headDim, ...grouping }, s.filled(k, width), s.filled(v, width), out, rows);
      const expected = Array.from({ length: rows }, (_, row) => [k, v].flatMap((x) => {
        const own = x.subarray(row * width, (row + 1) * width);
        const lost = (read: ArrayLike<number>) => own.reduce((sum, value, i) => sum + (value - read[i]!) ** 2, 0);
        const heads = { kvHeads, headDim, ...grouping };
        return [lost(new Float32Array(width)), ...grouping.groupSizes.map((_, expert) => lost(plainSpread(plainPool(own, expert, heads), expert, heads)))];
      }));
      close('distortions', await s.values(out), [...expected.flat(), ...new Array<number>(2 * (experts + 1)).fill(7)]);
    }
  }),

  check('roundToInt8 makes of the first rows what pages of int8 would give back', async (s) => {
    for (const { kvHeads, headDim } of s.some(variants)) {
      const width = kvHeads * headDim;
      const values = s.normals(4 * width);
      // A head of nothing, one of hardly anything, and one of a single number.
      values.fill(0, 0, headDim);
      values.fill(1e-33, width, width + headDim);
      values.fill(0, 2 * width, 2 * width + headDim - 1);
      const x = s.filled(values, width);
      s.runtime.roundToInt8(x, 3, headDim);
      const actual = await s.values(x);
      const store = s.own(s.runtime.pages({ heads: kvHeads, headDim, type: 'int8' }));
      const page = store.allocate();
      store.write(page, 0, values.subarray(0, 3 * width), values.subarray(0, 3 * width));
      same('rows', actual.subarray(0, 3 * width), (await store.read(page, 3)).k);
      same('the row after them', actual.subarray(3 * width), values.subarray(3 * width));
    }
  }),

  check('causalAttention attends to what is before, and tells what each token got', async (s) => {
    for (const { heads, kvHeads, headDim } of s.some(variants)) {
      for (const rows of s.some([37, 1, 100])) {
        const [q, k, v] = [s.normals(rows * heads * headDim), s.normals(rows * kvHeads * headDim), s.normals(rows * kvHeads * headDim)];
        const out = s.rows(rows + 1, heads * headDim);
        const received = s.filled(new Float32Array(rows).fill(1), 1);
        s.runtime.causalAttention(
          s.filled(q, heads * headDim), s.filled(k, kvHeads * headDim), s.filled(v, kvHeads * headDim), out, rows,
          { heads, kvHeads, scale: 0.4, received },
        );
        const actual = await s.values(out, rows);
        const row = (x: Float32Array, i: number) => x.subarray((i * x.length) / rows, ((i + 1) * x.length) / rows);
        const sums = new Float64Array(rows).fill(1);
        const expected = Array.from({ length: rows }, (_, i) => {
          const tokens = Array.from({ length: i + 1 }, (_, t) => ({ k: row(k, t), v: row(v, t) }));
          const { out, probabilities } = plainAttend(row(q, i), tokens, heads, 0.4);
          probabilities.forEach((p, t) => (sums[t]! += p));
          return Array.from(out);
        });
        close(`${rows} tokens, ${heads}/${kvHeads} heads of ${headDim}`, actual, expected.flat());
        close('probabilities', await s.values(received), sums);
      }
    }
  }),

  storageCheck('storeRows puts rows where attend finds them: the last token attends as in causalAttention', async (s) => {
    for (const variant of s.some(variants)) {
      for (const rows of s.some([70, 1, 33])) {
        const { heads, kvHeads, headDim, groupSizes } = variant;
        const { weights } = kv(s, variant);
        const [q, k, v] = [s.normals(rows * heads * headDim), s.normals(rows * kvHeads * headDim), s.normals(rows * kvHeads * headDim)];
        const queries = s.filled(q, heads * headDim);
        const [keys, values] = [s.filled(k, kvHeads * headDim), s.filled(v, kvHeads * headDim)];
        const experts = Int32Array.from({ length: rows }, () => s.random.nextInt(groupSizes.length));
        s.runtime.grouped.group(weights, keys, values, experts);
        if (s.type === 'int8') for (const x of [keys, values]) s.runtime.roundToInt8(x, rows, headDim);
        const out = s.rows(rows, heads * headDim);
        s.runtime.causalAttention(queries, keys, values, out, rows, { heads, kvHeads, scale: 0.4 });
        const causal = (await s.values(out)).subarray((rows - 1) * heads * headDim);
        const { view, plans } = planned(s, variant, experts);
        s.runtime.grouped.storeRows(keys, values, plans);
        s.runtime.grouped.attend(queries, rows - 1, view, null, out, { heads, scale: 0.4 });
        close(`${rows} tokens`, (await s.values(out)).subarray((rows - 1) * heads * headDim), causal);
      }
    }
  }),

  storageCheck('a prompt and a step leave no tensor', async (s) => {
    const variant = variants[1]!;
    const { heads, kvHeads, headDim, groupSizes } = variant;
    const { weights } = kv(s, variant);
    const x = s.filled(s.normals(4 * INPUTS), INPUTS);
    const projection = s.own(s.runtime.packLinear(s.layer(heads * headDim, INPUTS), 'bf16'));
    const linear = s.router(s.layer(groupSizes.length, INPUTS));
    const norm = s.own(s.runtime.vector(s.normals(INPUTS)));
    const [normed, q, out] = [s.rows(4, INPUTS), s.rows(4, heads * headDim), s.rows(4, heads * headDim)];
    const [k, v] = [s.rows(4, kvHeads * headDim), s.rows(4, kvHeads * headDim)];
    const experts = Int32Array.of(0, 1, 1, 0);
    const { view, plans } = planned(s, variant, experts);
    const received = s.filled(new Float32Array(4), 1);
    const told: number[] = [];
    const step = async () => {
      s.runtime.layerNorm(x, norm, norm, normed, 4);
      s.runtime.apply(projection, normed, q, 4);
      s.runtime.project(weights, normed, k, v, 4);
      s.runtime.grouped.group(weights, k, v, experts);
      for (const rows of [k, v]) s.runtime.roundToInt8(rows, 4, headDim);
      s.runtime.causalAttention(q, k, v, out, 4, { heads, kvHeads, scale: 1, received });
      s.runtime.grouped.storeRows(k, v, plans);
      s.runtime.tensor(x, 4).dispose();
      await s.runtime.settled();
      const route = s.runtime.route({ linear, decode: () => tf.zeros([1, 1], 'int32') }, normed, 0);
      s.runtime.grouped.store(weights, normed, 0, route, view);
      s.runtime.grouped.attend(q, 0, view, route, out, { heads, scale: 1, onProbabilities: (_, p) => told.push(p.length) });
      await s.runtime.read(out, 1, 'argMax');
      same('what was told', told.splice(0), [2 + (route.expert === 0 ? 1 : 0), 2 + (route.expert === 1 ? 1 : 0)]);
    };
    // The first may put working memory aside.
    await step();
    await expectNoLeaks(step);
  }),
];

function grouped(x: ArrayLike<number>, experts: Int32Array, heads: Heads): Float64Array {
  const width = heads.kvHeads * heads.headDim;
  const rows = Array.from(experts, (expert, row) => {
    const own = Array.from({ length: width }, (_, i) => x[row * width + i]!);
    return Array.from(plainSpread(plainPool(own, expert, heads), expert, heads));
  });
  return Float64Array.from(rows.flat());
}

/** Where rows go: those of each expert in two plans, the second after the first; and what a later step sees. */
function planned(s: Setting, variant: Variant, experts: Int32Array): { view: LayerView; plans: StorePlan[] } {
  const parts = s.stores(variant).map((store, expert) => {
    const rows = Int32Array.from(experts.keys()).filter((row) => experts[row] === expert);
    const { pages } = new FilledSegment(store, s.random, rows.length + 1);
    const segment = { store, pages, tokens: rows.length };
    const cut = Math.floor(rows.length / 3);
    const plans: StorePlan[] = [
      { segment, firstSlot: 0, rows: rows.subarray(0, cut) },
      { segment, firstSlot: cut, rows: rows.subarray(cut) },
    ];
    return { segment, plans, slot: slotOf(segment, rows.length) };
  });
  return {
    view: { segments: parts.map(({ segment }) => segment), slots: parts.map(({ slot }) => slot) },
    plans: parts.flatMap(({ plans }) => plans),
  };
}

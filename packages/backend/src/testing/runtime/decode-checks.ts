import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { LayerView, PageFormat, Route } from '../../inference/runtime';
import type { RuntimeCheck } from './check';
import { check, storageCheck } from './check';
import type { Heads } from './plain';
import { plainAttend, plainLinear, plainPool } from './plain';
import type { Setting } from './setting';
import { close, closeToStored, equal, FilledSegment, kept, same } from './setting';

export interface Variant extends Heads {
  readonly heads: number;
}

export const variants: readonly Variant[] = [
  { heads: 12, kvHeads: 12, headDim: 64, groupSizes: [1, 2, 4], pooling: 'mean' },
  { heads: 6, kvHeads: 3, headDim: 6, groupSizes: [1, 3], pooling: 'root' },
  { heads: 1, kvHeads: 1, headDim: 4, groupSizes: [1], pooling: 'mean' },
  { heads: 2, kvHeads: 2, headDim: 16, groupSizes: [1, 2], pooling: 'mean' },
  { heads: 8, kvHeads: 2, headDim: 16, groupSizes: [2], pooling: 'mean' },
  { heads: 14, kvHeads: 2, headDim: 16, groupSizes: [1], pooling: 'mean' },
  { heads: 8, kvHeads: 2, headDim: 7, groupSizes: [1, 2], pooling: 'mean' },
  { heads: 12, kvHeads: 12, headDim: 4, groupSizes: [1, 4, 12], pooling: 'root' },
  { heads: 4, kvHeads: 4, headDim: 128, groupSizes: [1, 2, 4], pooling: 'root' },
  { heads: 2, kvHeads: 2, headDim: 256, groupSizes: [2, 1], pooling: 'mean' },
];

/** Tokens of the segments; those of a variant with fewer experts are cut. */
const lengths = [[33, 0, 100], [1, 31, 32], [100, 32, 0], [0, 33, 31], [31, 100, 1]];

const INPUTS = 20;
export const router = (expert: number, experts: number) => ({
  linear: null,
  // Of any router: here what it gives does not depend on the token.
  decode: (x: Tensor3D): Tensor2D => tf.tidy(() => tf.reshape(tf.cast(tf.add(tf.mul(tf.sum(x), 0), expert % experts), 'int32'), [1, 1])),
});

export const decodeChecks: readonly RuntimeCheck[] = [
  check('pages refuses a format with a name that there is not', async (s) => {
    let message = 'nothing was refused';
    try {
      s.own(s.runtime.pages({ heads: 1, headDim: 4, tipe: 'f32' } as PageFormat));
    } catch (error) {
      ({ message } = error as Error);
    }
    equal('message', message, 'pages: there is no option "tipe"; did you mean type?');
  }),

  check('route decides as the router does, which is known after the next read', async (s) => {
    const [inputs, experts, rows] = [24, 3, 5];
    const layer = s.layer(experts, inputs);
    const x = s.normals(rows * inputs);
    const scores = plainLinear(x, rows, layer.weight, layer.bias, experts);
    const expected = Array.from({ length: rows }, (_, row) => argMax([...scores.subarray(row * experts, (row + 1) * experts)]));
    equal('different experts', new Set(expected).size > 1, true);
    const input = s.filled(x, inputs);
    const linear = s.router(layer);
    const decode = (x: Tensor3D): Tensor2D => tf.tidy(() => {
      const product = tf.matMul(tf.reshape(x, [1, inputs]), tf.tensor2d(layer.weight, [experts, inputs]), false, true);
      return tf.reshape(tf.argMax(tf.add(product, tf.tensor1d(layer.bias!)), 1), [1, 1]);
    });
    const routes = [
      s.runtime.route(null, input, 0),
      ...expected.map((_, row) => s.runtime.route({ linear, decode }, input, row)),
      ...expected.map((_, row) => s.runtime.route({ linear: null, decode }, input, row)),
    ];
    const wanted = [0, ...expected, ...expected];
    await s.runtime.read(input, 1, 'argMax');
    same('experts of the routes after it', routes.map((route) => route.expert!), wanted);
  }),

  check('a linear router gives ties to the lower expert, saturated scores too', async (s) => {
    const inputs = 8;
    const row = s.normals(inputs);
    const x = s.filled(s.normals(inputs), inputs);
    const decide = async (weight: number[], bias: number[]) => {
      const linear = s.router({ weight: Float32Array.from(weight), bias: Float32Array.from(bias), outputs: 3, inputs });
      const route = s.runtime.route({ linear, decode: () => tf.tidy(() => tf.reshape(tf.argMax(tf.sigmoid(tf.tensor2d(bias, [1, 3])), 1), [1, 1])) }, x, 0);
      await s.runtime.read(x, 1, 'argMax');
      return route.expert!;
    };
    equal('of equal scores', await decide([...row, ...row, ...row], [0, 0, 0]), 0);
    equal('of equal scores after a lower one', await decide(new Array<number>(24).fill(0), [-1, 0.5, 0.5]), 1);
    equal('of two that are 1 in float32', await decide(new Array<number>(24).fill(0), [0, 40, 60]), 1);
  }),

  storageCheck('store writes what the expert keeps of a token into its slot, and nothing else', async (s) => {
    for (const variant of s.some(variants)) {
      for (let expert = 0; expert < variant.groupSizes.length; expert++) {
        const { weights, layer } = kv(s, variant);
        const x = s.normals(3 * INPUTS);
        const input = s.filled(x, INPUTS);
        const { view, segments } = fill(s, variant, [5, 32, 0]);
        const route = s.runtime.route(router(expert, variant.groupSizes.length), input, 1);
        s.runtime.grouped.store(weights, input, 1, route, view);
        const [k, v] = [layer.k, layer.v].map((part) => (
          plainPool(plainLinear(x.subarray(INPUTS, 2 * INPUTS), 1, part.weight, part.bias, part.outputs), expert, variant)
        ));
        for (const [e, segment] of segments.entries()) {
          const { page, offset } = view.slots[e]!;
          const read = await segment.store.read(page, offset + 1);
          const width = segment.store.heads * variant.headDim;
          const before = segment.contents.slice(segment.tokens - offset);
          same('the tokens before', read.k.subarray(0, offset * width), before.flatMap(({ k }) => Array.from(k)));
          same('their values', read.v.subarray(0, offset * width), before.flatMap(({ v }) => Array.from(v)));
          if (e !== expert) continue;
          closeToStored(`keys of ${describe(variant)}`, read.k.subarray(offset * width), k!, segment.store);
          closeToStored(`values of ${describe(variant)}`, read.v.subarray(offset * width), v!, segment.store);
        }
        await s.runtime.read(input, 1, 'argMax');
      }
    }
  }),

  storageCheck('storeProjected pools what is projected already into the slot of its expert, and nothing else', async (s) => {
    for (const variant of s.some(variants)) {
      const { kvHeads, headDim } = variant;
      const width = kvHeads * headDim;
      for (let expert = 0; expert < variant.groupSizes.length; expert++) {
        const [k, v] = [s.normals(3 * width), s.normals(3 * width)];
        const input = s.filled(s.normals(3 * INPUTS), INPUTS);
        const { view, segments } = fill(s, variant, [5, 32, 0]);
        const route = s.runtime.route(router(expert, variant.groupSizes.length), input, 1);
        const rows = [s.filled(k, width), s.filled(v, width)] as const;
        s.runtime.grouped.storeProjected(variant, ...rows, 1, route, view);
        const own = (x: Float32Array) => plainPool(x.subarray(width, 2 * width), expert, variant);
        for (const [e, segment] of segments.entries()) {
          const { page, offset } = view.slots[e]!;
          const stored = segment.store.heads * headDim;
          const read = await segment.store.read(page, offset + 1);
          const before = segment.contents.slice(segment.tokens - offset);
          same('the tokens before', read.k.subarray(0, offset * stored), before.flatMap(({ k }) => Array.from(k)));
          same('their values', read.v.subarray(0, offset * stored), before.flatMap(({ v }) => Array.from(v)));
          if (e !== expert) continue;
          closeToStored(`keys of ${describe(variant)}`, read.k.subarray(offset * stored), own(k), segment.store);
          closeToStored(`values of ${describe(variant)}`, read.v.subarray(offset * stored), own(v), segment.store);
        }
        same('the rows', [...(await s.values(rows[0])), ...(await s.values(rows[1]))], [...k, ...v]);
      }
    }
  }),

  storageCheck('attend is one softmax over all segments, with and without the token just stored', async (s) => {
    for (const variant of s.some(variants, 3)) {
      for (const counts of s.some(lengths)) {
        const { heads, headDim } = variant;
        const { weights, layer } = kv(s, variant);
        const { view, segments } = fill(s, variant, counts);
        const [x, q] = [s.normals(INPUTS), s.normals(2 * heads * headDim)];
        const input = s.filled(x, INPUTS);
        const queries = s.filled(q, heads * headDim);
        const out = s.rows(3, heads * headDim);
        const experts = variant.groupSizes.length;
        const expert = counts.length % experts;
        const cached = segments.flatMap(({ contents }) => contents);
        const scale = headDim ** -0.5;
        if (cached.length > 0) {
          s.runtime.grouped.attend(queries, 1, view, null, out, { heads, scale });
          const expected = plainAttend(q.subarray(heads * headDim), cached, heads, scale).out;
          close(`${describe(variant)}, ${counts.join()}`, (await s.values(out, 2)).subarray(heads * headDim), expected);
        }
        const route = s.runtime.route(router(expert, experts), input, 0);
        s.runtime.grouped.store(weights, input, 0, route, view);
        const told = probabilities();
        s.runtime.grouped.attend(queries, 0, view, route, out, { heads, scale, onProbabilities: told.take });
        const actual = await s.values(out, 1);
        const own = {
          k: plainPool(plainLinear(x, 1, layer.k.weight, layer.k.bias, layer.k.outputs), expert, variant),
          v: plainPool(plainLinear(x, 1, layer.v.weight, layer.v.bias, layer.v.outputs), expert, variant),
        };
        const tokens = segments.flatMap(({ contents, store }, e) => (e === expert ? [...contents, kept(store, own)] : contents));
        const expected = plainAttend(q.subarray(0, heads * headDim), tokens, heads, scale);
        close(`${describe(variant)}, ${counts.join()} and its own token`, actual, expected.out);
        same('the segments told', told.segments, segments.map((_, e) => e));
        same('their lengths', told.lengths, segments.map((segment, e) => segment.tokens + (e === expert ? 1 : 0)));
        close(`probabilities of ${describe(variant)}, ${counts.join()}`, told.all, expected.probabilities);
      }
    }
  }),

  storageCheck('attend takes scores in the thousands', async (s) => {
    const variant = variants[0]!;
    const { heads, headDim } = variant;
    const { view, segments } = fill(s, variant, [33, 40, 70]);
    const q = s.normals(heads * headDim, 40);
    const out = s.rows(1, heads * headDim);
    const told = probabilities();
    s.runtime.grouped.attend(s.filled(q, heads * headDim), 0, view, null, out, { heads, scale: 5, onProbabilities: told.take });
    const expected = plainAttend(q, segments.flatMap(({ contents }) => contents), heads, 5);
    close('the output', await s.values(out), expected.out, 1e-5);
    close('the probabilities', told.all, expected.probabilities, 1e-5);
  }),

  storageCheck('decoding token by token equals attention over all of them, for each row of a batch', async (s) => {
    const [variant] = s.some(variants.slice(s.quick ? 1 : 0), 1);
    const { heads, headDim, groupSizes } = variant!;
    const width = heads * headDim;
    const { weights, layer } = kv(s, variant!);
    const sequences = [0, 1, 2].map(() => fill(s, variant!, [0, 0, 0], 40));
    const x = s.rows(3, INPUTS);
    const q = s.rows(3, width);
    const out = s.rows(3, width);
    const wq = s.layer(width, INPUTS);
    const queries = s.own(s.runtime.packLinear(wq, 'f32'));
    for (let token = 0; token < (s.quick ? 5 : 70); token++) {
      const values = s.normals(3 * INPUTS);
      const filled = s.filled(values, INPUTS);
      for (let row = 0; row < 3; row++) s.runtime.copyRows(filled, row, 1, x);
      s.runtime.apply(queries, filled, q, 3);
      const routes: Route[] = sequences.map(({ view }, row) => {
        const route = s.runtime.route(router(token * 7 + row, groupSizes.length), filled, row);
        s.runtime.grouped.store(weights, filled, row, route, view);
        s.runtime.grouped.attend(q, row, view, route, out, { heads, scale: 0.3 });
        return route;
      });
      const actual = await s.values(out);
      const plainQ = plainLinear(values, 3, wq.weight, wq.bias, width);
      sequences.forEach(({ segments }, row) => {
        const { expert } = routes[row]!;
        const own = values.subarray(row * INPUTS, (row + 1) * INPUTS);
        const stored = (part: typeof layer.k) => plainPool(plainLinear(own, 1, part.weight, part.bias, part.outputs), expert!, variant!);
        // Stored by the runtime itself; here only noted.
        segments[expert!]!.note({ k: stored(layer.k), v: stored(layer.v) });
        const tokens = segments.flatMap(({ contents }) => contents);
        equal('tokens so far', tokens.length, token + 1);
        const expected = plainAttend(plainQ.subarray(row * width, (row + 1) * width), tokens, heads, 0.3).out;
        close(`token ${token} of row ${row}`, actual.subarray(row * width, (row + 1) * width), expected);
      });
    }
  }),
];

export function kv(s: Setting, variant: Heads) {
  const layer = s.kvLayer(variant, INPUTS);
  return { layer, weights: s.own(s.runtime.packKv(layer, 'f32')) };
}

/** Segments with some tokens each, and room for more. */
export function fill(s: Setting, variant: Variant, counts: readonly number[], room = 1): { view: LayerView; segments: FilledSegment[] } {
  const segments = s.stores(variant).map((store, expert) => {
    const segment = new FilledSegment(store, s.random, counts[expert]! + room);
    const width = store.heads * store.headDim;
    for (let token = 0; token < counts[expert]!; token++) segment.append(s.normals(width), s.normals(width));
    return segment;
  });
  return { segments, view: { segments, get slots() { return segments.map(({ nextSlot }) => nextSlot); } } };
}

/** Takes probabilities as they are reported, which may be while a read waits. */
function probabilities() {
  const segments: number[] = [];
  const parts: Float32Array[] = [];
  return {
    segments,
    take: (segment: number, probabilities: Float32Array) => {
      segments.push(segment);
      parts.push(probabilities.slice());
    },
    get lengths() {
      return parts.map(({ length }) => length);
    },
    get all() {
      return parts.flatMap((part) => Array.from(part));
    },
  };
}

function describe({ heads, kvHeads, headDim, groupSizes, pooling }: Variant): string {
  return `${heads}/${kvHeads} heads of ${headDim} in groups of ${groupSizes.join()} (${pooling})`;
}

function argMax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

// What Llama and Gemma need beside OPT: gated layers, RMSNorm, rotary positions, soft caps and windows.
import { weightTypes } from '../../inference/runtime';
import { TYPE_TOLERANCE } from './activation-checks';
import type { RuntimeCheck } from './check';
import { check, storageCheck } from './check';
import { fill, kv, router, variants } from './decode-checks';
import { plainAttend, plainLinear, plainPool, plainRotate } from './plain';
import { close, closeToStored, kept, same } from './setting';

const activations = {
  silu: (x: number) => x / (1 + Math.exp(-x)),
  gelu: (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
} as const;

const INPUTS = 20;

export const familyChecks: readonly RuntimeCheck[] = [
  check('apply takes silu and the tanh form of gelu, with a residual after them', async (s) => {
    for (const [activation, meaning] of Object.entries(activations)) {
      for (const [inputs, outputs] of s.some([[32, 20], [30, 13]] as const, 1)) {
        const layer = s.layer(outputs, inputs);
        // Far out, where exponentials overflow.
        layer.bias!.set([200, -200, 60, -60]);
        for (const type of weightTypes) {
          const weights = s.own(s.runtime.packLinear(layer, type));
          for (const rows of [1, 3, 40]) {
            const [x, residual] = [s.normals(rows * inputs), s.normals(rows * outputs)];
            const input = s.filled(x, inputs);
            const expected = plainLinear(x, rows, layer.weight, layer.bias, outputs).map(meaning);
            const out = s.rows(rows, outputs);
            s.runtime.apply(weights, input, out, rows, { activation: activation as keyof typeof activations });
            close(`${activation} of ${type}, ${rows} rows`, await s.values(out), expected, TYPE_TOLERANCE[type]);
            s.runtime.apply(weights, input, out, rows, {
              activation: activation as keyof typeof activations, residual: s.filled(residual, outputs),
            });
            close(`${activation} and a residual`, await s.values(out), expected.map((y, i) => y + residual[i]!), TYPE_TOLERANCE[type]);
          }
        }
      }
    }
  }),

  check('rmsNorm divides each row by its root mean square, and adds a residual that may be the output', async (s) => {
    for (const [width, rows] of s.some([[64, 3], [6, 1], [1, 2], [16, 5], [768, 2], [301, 1]] as const)) {
      const values = s.normals(rows * width).map((x) => 3 * x + 5);
      const [gain, added] = [s.normals(width), s.normals(rows * width)];
      const epsilon = 0.1;
      const expected = Float64Array.from(values, (value, at) => {
        const row = values.subarray(at - (at % width), at - (at % width) + width);
        const square = row.reduce((sum, x) => sum + x * x, 0) / width;
        return (value / Math.sqrt(square + epsilon)) * gain[at % width]!;
      });
      const sum = expected.map((y, i) => y + added[i]!);
      const [x, weights] = [s.filled(values, width), s.own(s.runtime.vector(gain))];
      const [out, residual] = [s.rows(rows + 1, width), s.filled(added, width)];
      s.runtime.rmsNorm(x, weights, out, rows, { epsilon });
      close(`${rows}x${width}`, await s.values(out, rows), expected);
      s.runtime.rmsNorm(x, weights, out, rows, { epsilon, residual });
      close('with a residual', await s.values(out, rows), sum);
      s.runtime.rmsNorm(x, weights, residual, rows, { epsilon, residual });
      close('with the output as residual', await s.values(residual), sum);
    }
  }),

  check('rmsNorm takes each part of a row by itself where the gain is that of a part, and works in place', async (s) => {
    for (const [size, parts, rows] of s.some([[16, 4, 3], [6, 3, 2], [1, 5, 1], [300, 2, 2], [7, 1, 4]] as const)) {
      const width = size * parts;
      const values = s.normals((rows + 1) * width).map((x) => 2 * x - 1);
      const [gain, added] = [s.normals(size), s.normals(rows * width)];
      const epsilon = 0.01;
      const expected = Float64Array.from(values.subarray(0, rows * width), (value, at) => {
        const part = values.subarray(at - (at % size), at - (at % size) + size);
        return (value / Math.sqrt(part.reduce((sum, x) => sum + x * x, 0) / size + epsilon)) * gain[at % size]!;
      });
      const sum = expected.map((y, i) => y + added[i]!);
      const weights = s.own(s.runtime.vector(gain));
      const [x, out, residual] = [s.filled(values, width), s.rows(rows, width), s.filled(added, width)];
      s.runtime.rmsNorm(x, weights, out, rows, { epsilon });
      close(`${rows} rows of ${parts} parts of ${size}`, await s.values(out), expected);
      s.runtime.rmsNorm(x, weights, x, rows, { epsilon });
      const after = await s.values(x);
      close('in place', after.subarray(0, rows * width), expected);
      same('the row after', after.subarray(rows * width), values.subarray(rows * width));
      const again = s.filled(values, width);
      s.runtime.rmsNorm(again, weights, again, rows, { epsilon, residual });
      close('in place with a residual', (await s.values(again)).subarray(0, rows * width), sum);
    }
  }),

  check('multiply, scale, softCap and write change the first rows and no others', async (s) => {
    const width = s.quick ? 20 : 301;
    const [values, factors] = [s.normals(3 * width, 40), s.normals(3 * width)];
    const first = (y: Float32Array) => y.subarray(0, 2 * width);
    const changes = {
      multiply: [(x, by) => s.runtime.multiply(x, by, 2), (x, i) => x * factors[i]!],
      scale: [(x) => s.runtime.scale(x, 3.5, 2), (x) => 3.5 * x],
      softCap: [(x) => s.runtime.softCap(x, 30, 2), (x) => 30 * Math.tanh(x / 30)],
      write: [(x) => s.runtime.write(first(factors), x), (_, i) => factors[i]!],
    } satisfies Record<string, [(x: ReturnType<typeof s.rows>, by: ReturnType<typeof s.rows>) => void, (x: number, i: number) => number]>;
    for (const [name, [change, meaning]] of Object.entries(changes)) {
      const x = s.filled(values, width);
      change(x, s.filled(factors, width));
      const after = await s.values(x);
      close(name, first(after), Float64Array.from(first(values), meaning));
      same(`the row after ${name}`, after.subarray(2 * width), values.subarray(2 * width));
    }
    const small = s.normals(width, 1e-3);
    const x = s.filled(small, width);
    s.runtime.softCap(x, 30, 1);
    close('a soft cap of small numbers', await s.values(x), Float64Array.from(small, (y) => 30 * Math.tanh(y / 30)), 1e-12);
  }),

  check('rotate turns the halves of each head by the angles of its row', async (s) => {
    for (const [heads, headDim, rows] of s.some([[3, 16, 5], [1, 6, 1], [2, 2, 3], [4, 64, 2], [1, 256, 40]] as const)) {
      const values = s.normals(rows * heads * headDim);
      const turns = angles(s.normals((rows * headDim) / 2, 3), headDim);
      const x = s.filled(values, heads * headDim);
      s.runtime.rotate(x, s.filled(turns, headDim), rows);
      close(`${rows} rows of ${heads}x${headDim}`, await s.values(x), plainRotate(values, rows, turns));
    }
  }),

  storageCheck('store turns the keys before it writes them: means of turned keys are turned means', async (s) => {
    for (const variant of s.some(variants.filter(({ headDim }) => headDim % 2 === 0))) { // which turn in pairs
      const { headDim, groupSizes } = variant;
      for (let expert = 0; expert < groupSizes.length; expert++) {
        const { weights, layer } = kv(s, variant);
        const x = s.normals(2 * INPUTS);
        const turns = angles(s.normals(headDim, 3), headDim);
        const input = s.filled(x, INPUTS);
        const { view, segments } = fill(s, variant, [5, 32, 0]);
        const route = s.runtime.route(router(expert, groupSizes.length), input, 1);
        s.runtime.grouped.store(weights, input, 1, route, view, s.filled(turns, headDim));
        const { page, offset } = view.slots[expert]!;
        const read = await segments[expert]!.store.read(page, offset + 1);
        const project = ({ weight, bias, outputs }: typeof layer.k) => plainLinear(x.subarray(INPUTS), 1, weight, bias, outputs);
        const turned = Array.from({ length: variant.kvHeads }, (_, head) => (
          Array.from(plainRotate(project(layer.k).subarray(head * headDim, (head + 1) * headDim), 1, turns.subarray(headDim)))
        ));
        const { store } = segments[expert]!;
        const width = store.heads * headDim;
        closeToStored('keys', read.k.subarray(offset * width), plainPool(turned.flat(), expert, variant), store);
        closeToStored('values', read.v.subarray(offset * width), plainPool(project(layer.v), expert, variant), store);
        await s.runtime.read(input, 1, 'argMax');
      }
    }
  }),

  storageCheck('attend caps scores, and sees no token before the first of a segment', async (s) => {
    for (const variant of s.some(variants, 3)) {
      for (const hidden of s.some([[70, 0, 31], [64, 33, 0], [100, 1, 5], [0, 0, 32], [33, 40, 40]], 3)) {
        for (const softCap of [undefined, 2]) {
          const { heads, headDim, groupSizes } = variant;
          const width = heads * headDim;
          const { weights, layer } = kv(s, variant);
          const { view, segments } = fill(s, variant, [100, 40, 40]);
          const [x, q] = [s.normals(INPUTS), s.normals(width, 2)];
          const input = s.filled(x, INPUTS);
          const out = s.rows(1, width);
          const expert = hidden[0]! % groupSizes.length;
          const route = s.runtime.route(router(expert, groupSizes.length), input, 0);
          s.runtime.grouped.store(weights, input, 0, route, view);
          const seen = { slots: view.slots, segments: segments.map(({ store, pages, tokens }, e) => ({ store, pages, tokens, from: hidden[e]! })) };
          const told: number[][] = [];
          s.runtime.grouped.attend(s.filled(q, width), 0, seen, route, out, {
            heads, scale: 0.5, softCap, onProbabilities: (_, probabilities) => told.push(Array.from(probabilities)),
          });
          const actual = await s.values(out);
          const stored = ({ weight, bias, outputs }: typeof layer.k) => plainPool(plainLinear(x, 1, weight, bias, outputs), expert, variant);
          const tokens = segments.map(({ contents, store }, e) => [
            ...contents.slice(hidden[e]), ...(e === expert ? [kept(store, { k: stored(layer.k), v: stored(layer.v) })] : []),
          ]);
          const expected = plainAttend(q, tokens.flat(), heads, 0.5, softCap ?? null);
          const what = `${heads} heads of ${headDim}, ${hidden.join()} hidden, a cap of ${softCap}`;
          close(what, actual, expected.out);
          let done = 0;
          const probabilities = tokens.map(({ length }, e) => [
            ...new Array<number>(hidden[e]!).fill(0), ...expected.probabilities.subarray(done, (done += length)),
          ]);
          close(`probabilities of ${what}`, told.flat(), probabilities.flat());
        }
      }
    }
  }),

  check('causalAttention caps scores, and sees the last tokens of a window', async (s) => {
    for (const { heads, kvHeads, headDim } of s.some(variants)) {
      for (const [rows, window, softCap] of s.some([[37, 5, 2], [37, 64, 1], [70, 1, undefined], [400, 40, 3]] as const, 3)) {
        const [q, k, v] = [s.normals(rows * heads * headDim, 2), s.normals(rows * kvHeads * headDim), s.normals(rows * kvHeads * headDim)];
        const out = s.rows(rows, heads * headDim);
        const received = s.filled(new Float32Array(rows), 1);
        s.runtime.causalAttention(
          s.filled(q, heads * headDim), s.filled(k, kvHeads * headDim), s.filled(v, kvHeads * headDim), out, rows,
          { heads, kvHeads, scale: 0.4, softCap, window, received },
        );
        const actual = await s.values(out);
        const row = (x: Float32Array, i: number) => x.subarray((i * x.length) / rows, ((i + 1) * x.length) / rows);
        const sums = new Float64Array(rows);
        const expected = Array.from({ length: rows }, (_, i) => {
          const first = Math.max(0, i - window + 1);
          const tokens = Array.from({ length: i + 1 - first }, (_, t) => ({ k: row(k, first + t), v: row(v, first + t) }));
          const { out, probabilities } = plainAttend(row(q, i), tokens, heads, 0.4, softCap ?? null);
          probabilities.forEach((p, t) => (sums[first + t]! += p));
          return Array.from(out);
        });
        close(`${rows} tokens, a window of ${window}, a cap of ${softCap}`, actual, expected.flat());
        close('probabilities', await s.values(received), sums);
      }
    }
  }),

  check('causalAttention takes some queries and some heads at a time', async (s) => {
    for (const { heads, kvHeads, headDim } of s.some(variants)) {
      for (const [rows, window, softCap] of s.some([[150, undefined, undefined], [150, 40, 3]] as const, 1)) {
        const [q, k, v] = [s.normals(rows * heads * headDim, 2), s.normals(rows * kvHeads * headDim), s.normals(rows * kvHeads * headDim)];
        const [keys, values] = [s.filled(k, kvHeads * headDim), s.filled(v, kvHeads * headDim)];
        const options = { heads, kvHeads, scale: 0.4, softCap, window };
        const whole = s.rows(rows, heads * headDim);
        const received = [0, 1].map(() => s.filled(new Float32Array(rows), 1));
        s.runtime.causalAttention(s.filled(q, heads * headDim), keys, values, whole, rows, { ...options, received: received[0]! });
        const parts: number[] = [];
        for (const [first, end] of [[0, 2], [2, 70], [70, 135], [135, rows]] as const) {
          const queries = s.filled(q.subarray(first * heads * headDim, end * heads * headDim), heads * headDim);
          const part = s.rows(end - first, heads * headDim);
          for (let head = 0; head < kvHeads; head++) {
            s.runtime.causalAttention(queries, keys, values, part, end - first, {
              ...options, keys: end, kvRange: { first: head, end: head + 1 }, received: received[1]!,
            });
          }
          parts.push(...(await s.values(part)));
        }
        const expected = await s.values(whole);
        // Kernels of this package do the same for a row, however many there are.
        if (s.runtime.path === 'fused') same('parts', parts, expected);
        else close('parts', parts, expected);
        close('probabilities of parts', await s.values(received[1]!), await s.values(received[0]!));
      }
    }
  }),
];

/** [rows, headDim]: cosines, then sines, of headDim/2 angles for each row. */
function angles(turns: Float32Array, headDim: number): Float32Array {
  const half = headDim / 2;
  return Float32Array.from({ length: 2 * turns.length }, (_, at) => {
    const turn = turns[Math.floor(at / headDim) * half + (at % half)]!;
    return at % headDim < half ? Math.cos(turn) : Math.sin(turn);
  });
}

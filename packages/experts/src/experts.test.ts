import { ArgumentError, lostByFormats, SeededRandom, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Coarsening, createFormat, distortions, type FormatKind, fitLatentBasis, groupedFormat, type GroupedOptions, type KvFormat, mixKv, type Packing } from './index';
import { randomProjections, tensorsOf } from './latent/testing/random-projections';
import { formatChecks, type FormatsOf } from './testing';

/** Formats of each kind, for the conformance suite. */
const examples: { readonly [Kind in FormatKind]: FormatsOf } = {
  grouped: (layout) => divisors(layout.kvHeads).map((groupSize) => createFormat('grouped', { ...layout, groupSize })),
  'kv-grouped': (layout) =>
    [{ k: 2, v: 1 }, { k: layout.kvHeads, v: 2 }, { k: 1, v: layout.kvHeads }].map((groupSizes) => createFormat('kv-grouped', { ...layout, groupSizes })),
  latent(layout) {
    const rows = 2 * layout.kvHeads * layout.headDim;
    const basis = tensorsOf(fitLatentBasis(randomProjections(layout, { inputs: rows / 3, rank: rows / 2, seed: 1 })), rows);
    return [rows / 2, 7, 2].map((rank) => createFormat('latent', { ...layout, rank, basis }));
  },
};

/** The coarser forms of groups of 2 of 8 heads of 5, by a way that is wrong. */
function wrongly(apply: (right: Coarsening, from: Float32Array, to: Float32Array) => void): NonNullable<KvFormat['coarser']> {
  const coarser = groupedFormat({ kvHeads: 8, headDim: 5, groupSize: 2 }).coarser!;
  return {
    ladder: coarser.ladder,
    to(form) {
      const right = coarser.to(form);
      return right && { ...right, apply: (from: Float32Array, to: Float32Array) => apply(right, from, to) };
    },
  };
}

/** Numbers as they are, in a view that may begin anywhere. */
function floatPacking(bytes: number): Packing {
  const view = ({ buffer, byteOffset }: Uint8Array) => new DataView(buffer, byteOffset);
  return {
    bytes,
    pack: (numbers, to) => numbers.forEach((x, i) => view(to).setFloat32(4 * i, x, true)),
    unpack: (from, to) => to.forEach((_, i) => (to[i] = view(from).getFloat32(4 * i, true))),
  };
}

describe.each(['cpu', 'wasm'] as const)('on %s', (backend) => {
  beforeAll(() => startBackend(backend));
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());

  describe.each(Object.entries(examples))('format %s', (_, create) => {
    it.each(formatChecks)('$name', ({ run }) => run(create));
  });

  it.each<[string, Partial<KvFormat>, RegExp]>([
    ['a form of as many bytes', { coarser: { ladder: [{ ...groupedFormat({ kvHeads: 8, headDim: 5, groupSize: 2 }), name: 'twin' }], to: () => null } }, /expected fewer bits with each form, got 1280, 1280 of f32$/],
    ['a form of its own name', { name: 'grouped:4' }, /expected names of their own, got grouped:4, grouped:4, grouped:8$/],
    ['no way to a form', { coarser: { ladder: [groupedFormat({ kvHeads: 8, headDim: 5, groupSize: 8 })], to: () => null } }, /expected a way from grouped:2 to grouped:8$/],
    ['no meaning of its forms', { meaningOf: undefined }, /expected meaningOf beside coarser, got none$/],
    ['another meaning', { meaningOf: () => groupedFormat({ kvHeads: 8, headDim: 5, groupSize: 8 }) }, /expected the meaning of grouped:4, got grouped:8$/],
    ['a way that keeps the first heads', { coarser: wrongly((_, from, to) => to.set(from.subarray(0, to.length))) }, /expected what grouped:4 stores to be .+ at element \d+, got /],
    ['a way that writes half of a token', { coarser: wrongly((right, from, to) => right.apply(from.subarray(0, from.length / 2), to.subarray(0, to.length / 2))) }, /expected what grouped:4 stores to be .+, got NaN$/],
  ])('finds %s', async (_, change, message) => {
    const results: string[] = [];
    // One after the other, as each has the scope of its tensors.
    for (const { name, run } of formatChecks) {
      if (!name.includes('coarse')) continue;
      const wrong = run((layout) => [{ ...groupedFormat({ ...layout, groupSize: 2 }), ...(layout.kvHeads === 8 && (change as Partial<KvFormat>)) }]);
      results.push(await wrong.then(() => 'passed', (error: Error) => error.message));
    }
    expect(results.filter((result) => message.test(result)), results.join('\n')).toHaveLength(1);
  });

  it.each<[string, (right: Packing) => Partial<Packing>, RegExp]>([
    ['nothing wrong', () => ({}), /a packing without a fault/],
    ['fewer bytes than are written', ({ bytes }) => ({ bytes: bytes - 1 }), /expected pack to write its 319 bytes alone, got bytes of another token$/],
    ['no bytes', () => ({ pack: () => undefined, unpack: (_, to) => to.fill(0) }), /expected token 0 to pack to .* over other bytes, got 255,/],
    ['numbers that are none', ({ pack }) => ({ pack, unpack: (_, to) => to.fill(NaN) }), /expected unpack to give 80 finite numbers, got NaN at 0$/],
    ['the same whatever it is', () => ({ pack: (_, to) => to.fill(1), unpack: (_, to) => to.fill(0.5) }), /expected to lose less than the length .* of what is packed, got /],
    ['bits of before', ({ pack }) => ({ pack(numbers, to) { const before = to[0]!; pack(numbers, to); to[0]! |= before & 1; } }), /over other bytes, got /],
    ['numbers that it changes', ({ pack }) => ({ pack(numbers, to) { pack(numbers, to); numbers.fill(0); } }), /expected pack to leave its numbers as they are$/],
    ['an order of its own each time', ({ pack }) => ({ pack: (numbers, to) => pack(numbers.map((x, i) => x + i), to) }), /expected token 0 to pack to .* again, got /],
  ])('finds in a packing %s', async (_, change, message) => {
    const results: string[] = [];
    for (const { name, run } of formatChecks) {
      if (!name.includes('pack')) continue;
      const wrong = run((layout) => {
        const format = groupedFormat({ ...layout, groupSize: 1 });
        const right = floatPacking(4 * format.stored.heads * format.stored.headDim);
        return [{ ...format, stored: { ...format.stored, packing: { ...right, ...change(right) } }, coarser: undefined, meaningOf: undefined }];
      });
      results.push(await wrong.then(() => 'a packing without a fault', (error: Error) => error.message));
    }
    expect(results.some((result) => message.test(result)), results.join('\n')).toBe(true);
    if (message.test('a packing without a fault')) expect(new Set(results).size).toBe(1);
  });

  it.each(formatChecks.filter(({ name }) => name.includes('coarse')))('grouped over the root: $name', ({ run }) =>
    run((layout) => divisors(layout.kvHeads).map((groupSize) => createFormat('grouped', { ...layout, groupSize, pooling: 'root' }))),
  );

  /** A group size, a multiple of it, and KV heads that both divide. */
  const nested = fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }))
    .map(([fine, factor, groups]) => ({ fine, factor, kvHeads: fine * factor * groups }));

  it('nests: averaging the stored heads of a finer expert gives the entry of a coarser one', () => {
    fc.assert(
      fc.property(nested, fc.integer({ min: 1, max: 9 }), fc.nat(), ({ fine, factor, kvHeads }, headDim, seed) =>
        tf.tidy(() => {
          const [k, v] = [draw([3, kvHeads, headDim], seed, 0), draw([3, kvHeads, headDim], seed, 1)];
          const finer = groupedFormat({ kvHeads, headDim, groupSize: fine });
          const coarser = groupedFormat({ kvHeads, headDim, groupSize: fine * factor }).encode(k, v);
          const demoted = groupedFormat({ kvHeads: kvHeads / fine, headDim, groupSize: factor });
          const [storedK, storedV] = tf.split(finer.encode(k, v), 2, 1);
          expect(distance(demoted.encode(storedK!, storedV!), coarser)).toBeLessThan(1e-6);
        }),
      ),
      { numRuns: 50 },
    );
  });

  it('averages before or after a rotary rotation alike', () => {
    fc.assert(
      fc.property(nested, fc.nat(100), ({ fine, kvHeads }, position) =>
        tf.tidy(() => {
          const x = draw([2, kvHeads, 8], position);
          const expert = groupedFormat({ kvHeads, headDim: 8, groupSize: fine });
          const mean = (x: tf.Tensor) => tf.split(expert.encode(x, x), 2, 1)[0]!;
          expect(distance(mean(rotate(x, position)), rotate(mean(x), position))).toBeLessThan(1e-5);
        }),
      ),
      { numRuns: 30 },
    );
  });

  /** Strictly increasing group sizes, KV heads that all of them divide, and an expert (or padding) for each token. */
  const mixes = fc
    .record({
      groupSizes: fc.uniqueArray(fc.constantFrom(1, 2, 3, 4, 6), { minLength: 1, maxLength: 3 }),
      headDim: fc.integer({ min: 1, max: 9 }),
      picks: fc.array(fc.nat(5), { minLength: 1, maxLength: 12 }),
      seed: fc.nat(),
    })
    .map(({ groupSizes, picks, ...rest }) => ({
      ...rest,
      groupSizes: groupSizes.sort((a, b) => a - b),
      assignment: picks.map((pick) => (pick % (groupSizes.length + 1)) - 1),
      kvHeads: 12,
    }));

  it('mixes as the experts one by one do, forward and backward', () => {
    fc.assert(
      fc.property(mixes, ({ groupSizes, headDim, kvHeads, assignment, seed }) =>
        tf.tidy(() => {
          const shape: [number, number] = [assignment.length, kvHeads * headDim];
          const [k, v, weight] = [draw(shape, seed, 0), draw(shape, seed, 1), draw(shape, seed, 2)];
          const choice = tf.tensor1d(assignment, 'int32');
          const all = groupSizes.map((groupSize) => groupedFormat({ kvHeads, headDim, groupSize }));
          const fused = (k: tf.Tensor, v: tf.Tensor) =>
            mixKv(k as Tensor2D, v as Tensor2D, choice, all);
          const composed = (k: tf.Tensor, v: tf.Tensor) =>
            mixKv(k as Tensor2D, v as Tensor2D, choice, all.map(({ kernel: _, ...meaning }) => meaning));
          expect(distance(fused(k, v).k, composed(k, v).k)).toBeLessThan(1e-5);
          expect(distance(fused(k, v).v, composed(k, v).v)).toBeLessThan(1e-5);
          const gradients = [fused, composed].map((mix) =>
            tf.grads((k: tf.Tensor, v: tf.Tensor) => {
              const mixed = mix(k, v);
              return tf.add(tf.sum(tf.mul(mixed.k, weight)), tf.sum(tf.mul(mixed.v, tf.square(weight))));
            })([k, v]),
          );
          expect(distance(gradients[0]![0]!, gradients[1]![0]!)).toBeLessThan(1e-5);
          expect(distance(gradients[0]![1]!, gradients[1]![1]!)).toBeLessThan(1e-5);
        }),
      ),
      { numRuns: 40 },
    );
  });

  it('mixes softly in the gradient of the gates alone', () => {
    fc.assert(
      fc.property(mixes, ({ groupSizes, headDim, kvHeads, assignment, seed }) =>
        tf.tidy(() => {
          const shape: [number, number] = [assignment.length, kvHeads * headDim];
          const [k, v, weight] = [draw(shape, seed, 0), draw(shape, seed, 1), draw(shape, seed, 2)];
          const gates = draw([assignment.length, groupSizes.length], seed, 3);
          const choice = tf.tensor1d(assignment, 'int32');
          const options = groupSizes.map((groupSize) => groupedFormat({ kvHeads, headDim, groupSize }));
          const objective = ({ k, v }: { k: tf.Tensor; v: tf.Tensor }) =>
            tf.add(tf.sum(tf.mul(k, weight)), tf.sum(tf.mul(v, tf.square(weight)))) as tf.Scalar;
          const hard = tf.valueAndGrads((k, v) => objective(mixKv(k as Tensor2D, v as Tensor2D, choice, options)))([k, v]);
          const straight = (along: Tensor2D) => tf.clone(along);
          const soft = tf.valueAndGrads((k, v, gates) =>
            objective(mixKv(k as Tensor2D, v as Tensor2D, choice, options, { gates: gates as Tensor2D, gradient: straight })),
          )([k, v, gates]);
          expect(distance(soft.value, hard.value)).toBe(0);
          hard.grads.forEach((gradient, i) => expect(distance(soft.grads[i]!, gradient)).toBeLessThan(1e-5));
          // What a mixture of all experts, weighted by the gates, would have.
          const mixture = (gates: tf.Tensor) => {
            const each = groupSizes.map((_, expert) => mixKv(k, v, tf.fill([assignment.length], expert, 'int32'), options));
            const weighted = (of: 'k' | 'v') =>
              tf.addN(each.map((kv, e) => tf.mul(kv[of], tf.slice(gates, [0, e], [assignment.length, 1]))));
            return objective({ k: weighted('k'), v: weighted('v') });
          };
          expect(distance(soft.grads[2]!, tf.grad(mixture)(gates))).toBeLessThan(1e-4);
        }),
      ),
      { numRuns: 30 },
    );
  });

  it('refuses gates of another shape', () => {
    const soft = { gates: tf.zeros<tf.Rank.R2>([3, 2]), gradient: (along: Tensor2D) => along };
    const choice = tf.zeros<tf.Rank.R1>([3], 'int32');
    expect(() => mixKv(tf.zeros([3, 8]), tf.zeros([3, 8]), choice, [1, 2, 4].map((groupSize) => groupedFormat({ kvHeads: 4, headDim: 2, groupSize })), soft)).toThrow(
      'mixKv: expected gates of shape [3, 3], got [3, 2]',
    );
  });

  it.each(['grouped', 'kv-grouped', 'latent'] as const)('tells what experts of %s lose of each token', (kind) => {
    const experts = examples[kind]({ kvHeads: 8, headDim: 5 });
    const [k, v] = [draw([6, 40], 1), draw([6, 40], 2)];
    const lost = lostByFormats(k, v, experts);
    experts.forEach((_, expert) => {
      const mixed = mixKv(k, v, tf.fill([6], expert, 'int32'), experts);
      const squares = (a: Tensor2D, b: Tensor2D) => tf.sum(tf.squaredDifference(a, b), 1);
      expect(distance(tf.slice(lost.k, [0, expert], [6, 1]), squares(mixed.k, k))).toBeLessThan(1e-4);
      expect(distance(tf.slice(lost.v, [0, expert], [6, 1]), squares(mixed.v, v))).toBeLessThan(1e-4);
    });
    expect(() => distortions(k, v, [])).toThrow('distortions: expected at least one format, got none');
  });

  it('tells the energy of keys and values, and what experts lose of it', async () => {
    // Two tokens of 4 heads of 1 number. Pairs lose (3 − 1)²/2 and (1 − 5)²/2 of the first token's keys; one head for all loses Σx² − (Σx)²/4.
    const k = tf.tensor2d([[3, 1, 1, 5], [2, 2, 2, 2]]);
    const v = tf.tensor2d([[0, 4, 0, 0], [1, -1, 1, -1]]);
    const expected = [[36, 0, 10, 11, 16, 0, 8, 12], [16, 0, 0, 0, 4, 0, 4, 4]];
    const grouped = [1, 2, 4].map((groupSize) => groupedFormat({ kvHeads: 4, headDim: 1, groupSize }));
    expect(await distortions(k, v, grouped).array()).toEqual(expected);
    expect(await distortions(k, v, grouped.map(({ kernel: _, ...meaning }) => meaning)).array()).toEqual(expected);
    const alone = lostByFormats(k, v, [grouped[2]!]);
    expect([await alone.k.array(), await alone.v.array()]).toEqual([[[11], [0]], [[12], [4]]]);
    const [slope] = tf.grads((...rows) => distortions(rows[0] as Tensor2D, rows[1] as Tensor2D, grouped.slice(0, 2)))([k, v]);
    expect(Math.max(...(await slope!.data()))).toBe(0);
  });

  it.each(['kv-grouped', 'latent'] as const)('mixes %s without a gradient to what decides', (kind) => {
    const experts = examples[kind]({ kvHeads: 8, headDim: 5 });
    const [k, v, scores] = [draw([6, 40], 1), draw([6, 40], 2), draw([6, 3], 3)];
    const [gradK, , gradScores] = tf.grads((k, v, scores) => {
      const mixed = mixKv(k as Tensor2D, v as Tensor2D, tf.argMax(scores, 1), experts);
      return tf.add(tf.sum(tf.square(mixed.k)), tf.add(tf.sum(tf.square(mixed.v)), tf.mul(tf.sum(scores), 2)));
    })([k, v, scores]);
    expect(distance(gradScores!, tf.fill([6, 3], 2))).toBe(0);
    expect(distance(gradK!, tf.zeros([6, 40]))).toBeGreaterThan(0.1);
  });

  it('gives a token of the first expert, and padding, its own keys and values', () => {
    const [k, v] = [draw([4, 8], 1), draw([4, 8], 2)];
    const mixed = mixKv(k, v, tf.tensor1d([0, -1, 1, 2], 'int32'), [1, 2, 4].map((groupSize) => groupedFormat({ kvHeads: 4, headDim: 2, groupSize })));
    expect(distance(tf.slice(mixed.k, 0, 2), tf.slice(k, 0, 2))).toBe(0);
    expect(distance(tf.slice(mixed.v, 0, 2), tf.slice(v, 0, 2))).toBe(0);
    expect(distance(tf.slice(mixed.k, 2, 2), tf.slice(k, 2, 2))).toBeGreaterThan(0.1);
  });
});

describe('createFormat', () => {
  const layout = { kvHeads: 4, headDim: 8 };

  it('takes a factory that nobody registered', () => {
    const expert = createFormat((options: GroupedOptions) => ({ ...groupedFormat(options) }), { ...layout, groupSize: 2 });
    expect(expert.stored).toEqual({ heads: 4, headDim: 8 });
  });

  it('refuses an unknown type, and a group size that does not divide the KV heads', () => {
    expect(() => createFormat('mla' as 'grouped', { ...layout, groupSize: 2 })).toThrow("of grouped, kv-grouped, latent, got 'mla'");
    expect(() => createFormat('toString' as 'grouped', { ...layout, groupSize: 2 })).toThrow(ArgumentError);
    expect(() => createFormat('grouped', { ...layout, kvHeads: 12, groupSize: 5 })).toThrow(/divisors of the 12 KV heads, got 5/);
    expect(() => createFormat('kv-grouped', { ...layout, groupSizes: { k: 2, v: 3 } })).toThrow(/divisors of the 4 KV heads, got 3/);
  });

  it('stores of keys and values what their group sizes leave', () => {
    expect(createFormat('kv-grouped', { ...layout, groupSizes: { k: 4, v: 2 } }).stored).toEqual({ heads: 3, headDim: 8 });
  });

  it('refuses tensors of another number of heads', () => {
    const expert = createFormat('grouped', { ...layout, groupSize: 2 });
    const x = tf.zeros([3, 2, 8]);
    expect(() => expert.encode(x, x)).toThrow('encode expected shape [..., 4, 8], got [3, 2, 8]');
    expect(() => expert.decode(x)).toThrow('decode expected shape [..., 4, 8], got [3, 2, 8]');
    const mix = (experts: KvFormat[]) => mixKv(tf.zeros([3, 6]), tf.zeros([3, 6]), tf.zeros([3], 'int32') as Tensor1D, experts);
    expect(() => mix([expert])).toThrow('rows of 4 KV heads of 8, got a width of 6');
    expect(() => mix([])).toThrow('at least one format, got none');
  });
});

function draw(shape: number[], seed: number, stream = 0): Tensor2D {
  const random = new SeededRandom(seed, stream);
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal());
  return tf.tensor<tf.Rank>(values, shape) as Tensor2D;
}

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1).filter((size) => n % size === 0);
}

/** Largest absolute difference; NaN when one of them has it. */
function distance(a: tf.Tensor, b: tf.Tensor): number {
  const [x, y] = [a.dataSync<'float32'>(), b.dataSync<'float32'>()];
  expect(x.length).toBe(y.length);
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0);
}

/** Rotary position embedding of [tokens, heads, d] at one position. */
function rotate(x: tf.Tensor, position: number): tf.Tensor {
  const half = x.shape[2]! / 2;
  const angles = tf.mul(tf.pow(10_000, tf.div(tf.range(0, half), -half)), position);
  const [first, second] = tf.split(x, 2, 2);
  return tf.concat(
    [
      tf.sub(tf.mul(first!, tf.cos(angles)), tf.mul(second!, tf.sin(angles))),
      tf.add(tf.mul(first!, tf.sin(angles)), tf.mul(second!, tf.cos(angles))),
    ],
    2,
  );
}

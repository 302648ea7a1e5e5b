import { ArgumentError, SeededRandom, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createExpert, experts, groupedExpert, mixKv, mixKvByExperts, type ExpertKind } from './index';
import { expertChecks } from './testing';

describe.each(['cpu', 'wasm'] as const)('on %s', (backend) => {
  beforeAll(() => startBackend(backend));
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());

  describe.each(Object.keys(experts) as ExpertKind[])('expert type %s', (kind) => {
    it.each(expertChecks)('$name', ({ run }) => run((options) => createExpert(kind, options)));
  });

  /** A group size, a multiple of it, and KV heads that both divide. */
  const nested = fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }))
    .map(([fine, factor, groups]) => ({ fine, factor, kvHeads: fine * factor * groups }));

  it('nests: averaging the stored heads of a finer expert gives the entry of a coarser one', () => {
    fc.assert(
      fc.property(nested, fc.integer({ min: 1, max: 9 }), fc.nat(), ({ fine, factor, kvHeads }, headDim, seed) =>
        tf.tidy(() => {
          const [k, v] = [draw([3, kvHeads, headDim], seed, 0), draw([3, kvHeads, headDim], seed, 1)];
          const finer = groupedExpert({ kvHeads, groupSize: fine });
          const coarser = groupedExpert({ kvHeads, groupSize: fine * factor }).compress(k, v);
          const demoted = groupedExpert({ kvHeads: kvHeads / fine, groupSize: factor });
          const stored = finer.compress(k, v);
          const again = demoted.compress(stored.k, stored.v);
          expect(distance(again.k, coarser.k)).toBeLessThan(1e-6);
          expect(distance(again.v, coarser.v)).toBeLessThan(1e-6);
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
          const expert = groupedExpert({ kvHeads, groupSize: fine });
          const mean = (x: tf.Tensor) => expert.compress(x, x).k;
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
          const all = groupSizes.map((groupSize) => groupedExpert({ kvHeads, groupSize }));
          const fused = (k: tf.Tensor, v: tf.Tensor) =>
            mixKv(k as Tensor2D, v as Tensor2D, choice, { headDim, groupSizes });
          const composed = (k: tf.Tensor, v: tf.Tensor) =>
            mixKvByExperts(k as Tensor2D, v as Tensor2D, choice, all);
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

  it('gives a token of the first expert, and padding, its own keys and values', () => {
    const [k, v] = [draw([4, 8], 1), draw([4, 8], 2)];
    const mixed = mixKv(k, v, tf.tensor1d([0, -1, 1, 2], 'int32'), { headDim: 2, groupSizes: [1, 2, 4] });
    expect(distance(tf.slice(mixed.k, 0, 2), tf.slice(k, 0, 2))).toBe(0);
    expect(distance(tf.slice(mixed.v, 0, 2), tf.slice(v, 0, 2))).toBe(0);
    expect(distance(tf.slice(mixed.k, 2, 2), tf.slice(k, 2, 2))).toBeGreaterThan(0.1);
  });
});

describe('createExpert', () => {
  it('takes a factory that nobody registered', () => {
    const expert = createExpert((options) => ({ ...groupedExpert(options) }), { kvHeads: 4, groupSize: 2 });
    expect(expert.storedHeads).toEqual({ k: 2, v: 2 });
  });

  it('refuses an unknown type, and a group size that does not divide the KV heads', () => {
    expect(() => createExpert('mla' as ExpertKind, { kvHeads: 4, groupSize: 2 })).toThrow(/of grouped, got 'mla'/);
    expect(() => createExpert('toString' as ExpertKind, { kvHeads: 4, groupSize: 2 })).toThrow(ArgumentError);
    expect(() => createExpert('grouped', { kvHeads: 12, groupSize: 5 })).toThrow(/divisors of the 12 KV heads, got 5/);
  });

  it('refuses tensors of another number of heads', () => {
    const expert = createExpert('grouped', { kvHeads: 4, groupSize: 2 });
    const x = tf.zeros([3, 2, 8]);
    expect(() => expert.compress(x, x)).toThrow(/compress: expected shape \[\.\.\., 4, head dimension\], got \[3, 2, 8\]/);
    expect(() => mixKvByExperts(tf.zeros([3, 6]), tf.zeros([3, 6]), tf.zeros([3], 'int32') as Tensor1D, [expert])).toThrow(
      /rows of 4 KV heads, got a width of 6/,
    );
  });
});

function draw(shape: number[], seed: number, stream = 0): Tensor2D {
  const random = new SeededRandom(seed, stream);
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal());
  return tf.tensor<tf.Rank>(values, shape) as Tensor2D;
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

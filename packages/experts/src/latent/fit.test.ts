import { ArgumentError, SeededRandom, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkLatentBasis, fitLatentBasis, type LatentInputs } from './fit';
import { latentFormat } from './latent';
import { symmetricEigen } from './symmetric-eigen';
import { randomProjections, tensorsOf } from './testing/random-projections';

beforeAll(() => startBackend('cpu'));

it('a basis has the biases of keys and values, one after the other, and a scale for each', () => {
  const projection = (bias: Float32Array | null, ...weight: number[]) => ({ weight: Float32Array.from(weight), bias });
  const inputs = { k: projection(Float32Array.of(1, 2), 3, 0, 0, 4), v: projection(Float32Array.of(5, 6), 0, 0, 0, 0.5), gain: null, inputs: 2, rank: 1 };
  const { bias, scale } = fitLatentBasis(inputs);
  expect([...bias]).toEqual([1, 2, 5, 6]);
  [0.2, 0.2, 2, 2].forEach((factor, i) => expect(scale[i]).toBeCloseTo(factor, 6));
  expect([...fitLatentBasis({ ...inputs, k: { ...inputs.k, bias: null } }).bias]).toEqual([0, 0, 5, 6]);
  expect([...fitLatentBasis({ ...inputs, v: { weight: new Float32Array(4), bias: null } }).scale.subarray(2)]).toEqual([1, 1]);
});

describe('symmetricEigen', () => {
  const matrices = fc.record({ n: fc.integer({ min: 1, max: 24 }), rank: fc.integer({ min: 0, max: 24 }), seed: fc.nat() });

  it('finds orthonormal vectors that a matrix stretches by its values, whatever its rank', () => {
    fc.assert(
      fc.property(matrices, ({ n, rank, seed }) => {
        const random = new SeededRandom(seed);
        const factor = Array.from({ length: n * rank }, () => random.normal());
        const a = new Float64Array(n * n);
        for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) for (let r = 0; r < rank; r++) a[i * n + j]! += factor[i * rank + r]! * factor[j * rank + r]!;
        const { values, vectors } = symmetricEigen(a, n);
        const size = 1 + (values[0] ?? 0);
        for (let x = 0; x < n; x++) {
          for (let y = 0; y < n; y++) {
            let [product, stretched] = [0, 0];
            for (let i = 0; i < n; i++) {
              product += vectors[x * n + i]! * vectors[y * n + i]!;
              for (let j = 0; j < n; j++) stretched += vectors[x * n + i]! * a[i * n + j]! * vectors[y * n + j]!;
            }
            expect(Math.abs(product - Number(x === y))).toBeLessThan(1e-12);
            expect(Math.abs(stretched - (x === y ? values[x]! : 0))).toBeLessThan(1e-12 * size);
          }
        }
        expect([...values]).toEqual([...values].sort((a, b) => b - a));
      }),
    );
  });

  it('takes diagonal matrices, and refuses numbers that are none', () => {
    expect([...symmetricEigen(Float64Array.of(1, 0, 0, 0, 3, 0, 0, 0, 2), 3).values]).toEqual([3, 2, 1]);
    expect(() => symmetricEigen(Float64Array.of(1, NaN, NaN, 1), 2)).toThrow('expected finite numbers');
  });
});

describe('fitLatentBasis', () => {
  const layout = { kvHeads: 4, headDim: 3 };
  const [half, rows] = [12, 24];

  it('has orthonormal columns up to all numbers of a token, more than inputs give', () => {
    for (const [inputs, rank] of [[10, 24], [10, 10], [40, 24], [40, 5]] as const) {
      const values = fitLatentBasis(randomProjections(layout, { inputs, rank, seed: 3 }));
      expect(values.weight).toHaveLength(rows * rank);
      expect(() => checkLatentBasis(values, rank)).not.toThrow();
    }
    // A layer of zeros has a basis too.
    const nothing = { weight: new Float32Array(half * 5), bias: null };
    expect(() => checkLatentBasis(fitLatentBasis({ k: nothing, v: nothing, gain: null, inputs: 5, rank: 7 }), 7)).not.toThrow();
  });

  it('loses nothing at as many numbers as there are inputs', () => {
    const inputs = randomProjections(layout, { inputs: 9, rank: 9, seed: 4 });
    expect(lost(inputs, 9)).toBeLessThan(1e-10);
    expect(lost(inputs, 8)).toBeGreaterThan(1e-4);
  });

  it('loses the least that any basis of the rank can: the squares of the singular values that it leaves off', () => {
    // Fewer inputs than rows, and more.
    for (const n of [9, 40]) {
      const inputs = randomProjections(layout, { inputs: n, rank: 9, seed: 5 });
      const stacked = stackedRows(inputs);
      const gram = new Float64Array(n * n);
      for (const row of stacked) for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) gram[i * n + j]! += row[i]! * row[j]!;
      const { values } = symmetricEigen(gram, n);
      for (const rank of [1, 3, 6]) {
        const left = values.slice(rank).reduce((a, b) => a + b, 0);
        expect(lost(inputs, rank)).toBeCloseTo(left, 5);
      }
    }
  });

  it('refuses what does not fit', () => {
    const inputs = randomProjections(layout, { inputs: 9, rank: 9, seed: 6 });
    expect(() => fitLatentBasis({ ...inputs, rank: 25 })).toThrow('expected a rank from 1 to 24, all numbers of a token, got 25');
    expect(() => fitLatentBasis({ ...inputs, rank: 0 })).toThrow(ArgumentError);
    expect(() => fitLatentBasis({ ...inputs, inputs: 7 })).toThrow('each of 7 inputs, got 108 and 108 weights and 9 gains');
    const damaged = { ...inputs, k: { ...inputs.k, weight: inputs.k.weight.with(3, NaN) } };
    expect(() => fitLatentBasis(damaged)).toThrow('expected finite numbers; are the weights damaged?');
  });

  it('is checked when it comes from a file', () => {
    const basis = fitLatentBasis(randomProjections(layout, { inputs: 9, rank: 6, seed: 7 }));
    expect(() => checkLatentBasis({ ...basis, bias: basis.bias.with(2, Infinity) }, 6)).toThrow('expected finite numbers, got Infinity in its bias');
    expect(() => checkLatentBasis({ ...basis, scale: basis.scale.with(0, 0) }, 6)).toThrow('expected scales above 0, got 0');
    expect(() => checkLatentBasis({ ...basis, weight: basis.weight.map((x) => 2 * x) }, 6)).toThrow('got a product of 4.00 of columns 0 and 0');
  });

  it('makes experts that refuse another layout, or a rank beyond it', () => {
    const basis = tensorsOf(fitLatentBasis(randomProjections(layout, { inputs: 9, rank: 6, seed: 8 })), rows);
    expect(() => latentFormat({ kvHeads: 2, headDim: 3, rank: 2, basis })).toThrow('expected weight of 12 rows, the keys and values of a token, got [24, 6]');
    expect(() => latentFormat({ ...layout, rank: 7, basis })).toThrow('expected a rank from 1 to 6, the columns of the basis, got 7');
  });

  /** Σ over unit inputs of what a rank loses of the scaled keys and values, less their bias. */
  function lost(inputs: LatentInputs, rank: number): number {
    return tf.tidy(() => {
      const values = fitLatentBasis(inputs);
      const basis = tensorsOf(values, rows);
      const expert = latentFormat({ ...layout, rank, basis });
      const scaled = tf.transpose(tf.tensor2d(stackedRows(inputs))); // [inputs, rows]
      const whole = tf.add(tf.div(scaled, basis.scale), basis.bias) as Tensor2D;
      const [k, v] = tf.split(whole, 2, 1).map((x) => tf.reshape(x, [-1, layout.kvHeads, layout.headDim]));
      const read = expert.decode(expert.encode(k!, v!));
      const flat = tf.concat([tf.reshape(read.k, [-1, half]), tf.reshape(read.v, [-1, half])], 1);
      return tf.sum(tf.square(tf.mul(tf.sub(flat, whole), basis.scale))).dataSync()[0]!;
    });
  }

  /** The rows of keys, then values, times the gains, each part of Frobenius norm 1. */
  function stackedRows({ k, v, gain, inputs }: LatentInputs): number[][] {
    return [k, v].flatMap(({ weight }) => {
      const values = Array.from(weight, (w, i) => w * gain![i % inputs]!);
      const norm = Math.hypot(...values);
      return Array.from({ length: half }, (_, row) => values.slice(row * inputs, (row + 1) * inputs).map((w) => w / norm));
    });
  }
});

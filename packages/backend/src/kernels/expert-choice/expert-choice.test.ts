import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { startBackend } from '../../platform/index';
import { embedding } from '../embedding/op';
import { expertCapacity } from './capacity';
import { expertChoice } from './op';

interface Sequence {
  readonly tokens: readonly { readonly scores: readonly number[]; readonly real: boolean }[];
  /** Ratios are weight / sum of weights. */
  readonly weights: readonly number[];
}

const sequences = fc
  .array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 })
  .filter((weights) => weights.some((weight) => weight > 0))
  .chain((weights) => {
    const score = fc.oneof(fc.constantFrom(0, -0, 0.5, 1), fc.float({ noNaN: true, noDefaultInfinity: true }));
    const scores = fc.array(score, { minLength: weights.length, maxLength: weights.length });
    const token = fc.record({ scores, real: fc.boolean() });
    return fc.record({ tokens: fc.array(token, { minLength: 1, maxLength: 40 }), weights: fc.constant(weights) });
  });

/** The rule of the paper's section 3.2, by sorting, with capacities in whole numbers. */
function model({ tokens, weights }: Sequence): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  const real = tokens.filter((token) => token.real).length;
  const assignment: (number | null)[] = tokens.map((token) => (token.real ? null : -1));
  weights.forEach((weight, expert) => {
    const free = tokens.flatMap((_, t) => (assignment[t] === null ? [t] : []));
    free.sort((a, b) => tokens[b]!.scores[expert]! - tokens[a]!.scores[expert]! || a - b);
    const capacity = expert === weights.length - 1 ? free.length : Math.floor((weight * real + sum - 1) / sum);
    for (const t of free.slice(0, capacity)) assignment[t] = expert;
  });
  return assignment.map(Number);
}

function choose({ tokens, weights }: Sequence): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return tf.tidy(() => {
    const scores: Tensor3D = tf.tensor3d([tokens.map((token) => [...token.scores])], [1, tokens.length, weights.length]);
    const mask: Tensor2D = tf.tensor2d([tokens.map((token) => Number(token.real))], undefined, 'int32');
    return [...expertChoice(scores, weights.map((weight) => weight / sum), mask).dataSync()];
  });
}

describe.each([['wasm', 300], ['cpu', 60]] as const)('on %s', (backend, numRuns) => {
  test('agrees with a plain model', async () => {
    await startBackend(backend);
    fc.assert(
      fc.property(sequences, (sequence) => {
        expect(choose(sequence)).toEqual(model(sequence));
      }),
      { numRuns, seed: 1 },
    );
  });

  test('masks of booleans count', async () => {
    await startBackend(backend);
    const assignment = tf.tidy(() =>
      expertChoice(tf.zeros([1, 4, 2]), [0.5, 0.5], tf.tensor2d([[false, true, true, false]], undefined, 'bool')).dataSync(),
    );
    expect([...assignment]).toEqual([-1, 0, 1, -1]);
  });

  test('no gradient flows through the choice', async () => {
    await startBackend(backend);
    const gradient = tf.tidy(() => {
      const loss = (scores: tf.Tensor) => {
        const assignment = expertChoice(scores as Tensor3D, [0.5, 0.5]);
        const chosen = tf.oneHot(assignment, 2);
        return tf.sum(tf.mul(scores, chosen));
      };
      return tf.grad(loss)(tf.tensor3d([[[3, 0], [1, 0]]])).dataSync();
    });
    expect([...gradient]).toEqual([1, 0, 0, 1]);
  });
});

test('tokens of an expert can be looked up by their assignment', async () => {
  await startBackend('wasm');
  const looked = tf.tidy(() => {
    const assignment = expertChoice(tf.tensor3d([[[0, 0], [9, 0], [5, 0]]]), [0.5, 0.5]);
    return embedding(tf.tensor2d([[10], [20]]), tf.reshape(assignment, [3])).dataSync();
  });
  expect([...looked]).toEqual([20, 10, 10]);
});

test('a capacity is a ceiling without rounding noise', () => {
  expect(expertCapacity(0.1, 10)).toBe(1);
  expect(expertCapacity(0.3, 10)).toBe(3);
  expect(expertCapacity(1 / 3, 3)).toBe(1);
  expect(expertCapacity(0.7 + 0.1, 10)).toBe(8);
  expect(expertCapacity(0.1, 11)).toBe(2);
  expect(expertCapacity(0, 11)).toBe(0);
  expect(expertCapacity(1, 11)).toBe(11);
});

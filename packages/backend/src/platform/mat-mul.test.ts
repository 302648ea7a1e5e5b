import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../random';
import { describeBackends, startBackend } from './index';

const normals = (random: SeededRandom, shape: readonly number[]) => Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal());

/** a [B1, B2, m, k] · b [C1, C2, k, n], by loops over every batch of the two. */
function plainProduct(a: Float32Array, [b1, b2, m, k]: readonly number[], b: Float32Array, [c1, c2, , n]: readonly number[]): Float32Array {
  const [d1, d2] = [Math.max(b1!, c1!), Math.max(b2!, c2!)];
  const out = new Float32Array(d1 * d2 * m! * n!);
  out.forEach((_, at) => {
    const [column, row] = [at % n!, Math.floor(at / n!) % m!];
    const batch = Math.floor(at / (m! * n!));
    const [i, j] = [Math.floor(batch / d2), batch % d2];
    const [from, to] = [(i % b1!) * b2! + (j % b2!), (i % c1!) * c2! + (j % c2!)];
    for (let x = 0; x < k!; x++) out[at]! += a[(from * m! + row) * k! + x]! * b[(to * k! + x) * n! + column]!;
  });
  return out;
}

describe.each((await describeBackends()).filter(({ available, name }) => available && name !== 'cuda'))('matMul on $name', ({ name }) => {
  test.each([
    [[4, 1, 5, 8], [1, 3, 8, 6]], [[1, 3, 5, 8], [4, 1, 8, 6]], [[4, 1, 2, 3], [4, 3, 3, 2]], [[2, 3, 2, 3], [2, 1, 3, 2]], [[2, 3, 2, 3], [1, 3, 3, 2]],
    [[1, 1, 2, 3], [2, 3, 3, 2]], [[2, 3, 2, 3], [1, 1, 3, 2]], [[2, 3, 2, 3], [2, 3, 3, 2]],
  ])('of %j and %j has every batch', async (shapeA, shapeB) => {
    await startBackend(name);
    const random = new SeededRandom(1);
    const [a, b] = [normals(random, shapeA), normals(random, shapeB)];
    const expected = plainProduct(a, shapeA, b, shapeB);
    const before = tf.memory().numTensors;
    const product = tf.tidy(() => tf.matMul(tf.tensor(a, shapeA), tf.tensor(b, shapeB)));
    const actual = await product.data();
    product.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(actual).toHaveLength(expected.length);
    expect(Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-5);
  });
});

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { rotateReference } from './reference';

/**
 * Rotary positions (Su et al. 2021): in each head the pair of elements i and i + headDim/2, (a, b), becomes
 * (a·cos − b·sin, b·cos + a·sin) of its token's angle. Row b·T + t is token t of sequence b; heads lie one after another.
 *
 * @param x float32 [B·T, heads·headDim]
 * @param angles float32 [T, headDim]: for each position headDim/2 cosines, then as many sines
 * @returns float32 [B·T, heads·headDim]; differentiable in x
 * @throws ArgumentError when the shapes do not fit, or headDim is odd
 */
export function rotate(x: Tensor2D, angles: Tensor2D): Tensor2D {
  expectShape('rotate', 'x', x, [null, null]);
  expectShape('rotate', 'angles', angles, [null, null]);
  expectFloats('rotate', { x, angles });
  const [length, headDim] = angles.shape;
  if (headDim % 2 !== 0 || x.shape[1] % headDim !== 0 || x.shape[0] % length !== 0) {
    throw new ArgumentError(
      `rotate: expected angles of an even size that divides ${x.shape[1]}, for positions that divide ${x.shape[0]}, got [${length}, ${headDim}]`,
    );
  }
  const run = (x: Tensor2D, angles: Tensor2D) =>
    hasKernel('MixsgaRotate') ? (runKernel('MixsgaRotate', { x, angles })[0] as Tensor2D) : rotateReference(x, angles);
  return withGradient(
    [x],
    (save, [x]) => {
      save([angles]);
      return run(x as Tensor2D, angles);
    },
    // Back by the same angle.
    (dy, [angles]) => [tf.tidy(() => run(dy as Tensor2D, reversed(angles as Tensor2D)))],
  ) as Tensor2D;
}

function reversed(angles: Tensor2D): Tensor2D {
  const half = angles.shape[1] / 2;
  return tf.mul(angles, tf.concat([tf.ones([1, half]), tf.fill([1, half], -1)], 1));
}

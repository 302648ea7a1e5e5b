import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { expectOptions, type OptionNames } from '../../options';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape, expectType } from '../validate';
import { type GroupMeanOptions, groupMeanReference } from './reference';

const OPTIONS: OptionNames<GroupMeanOptions> = { headDim: true, groupSizes: true, pooling: true };

/**
 * Gives every token the keys (or values) of its expert, spread over all heads: each run of g consecutive heads is
 * replaced by its mean (or as `pooling` says), g being the group size of the token's expert (paper section 3.3).
 *
 * @param x float32 [tokens, heads·headDim]
 * @param assignment int32 [tokens], the token's expert; negative (padding) leaves the token as it is
 * @returns float32 [tokens, heads·headDim]; differentiable in x (a symmetric map: its own transpose)
 * @throws ArgumentError when the shapes do not fit or a group size does not divide the heads
 */
export function groupMean(x: Tensor2D, assignment: Tensor1D, options: GroupMeanOptions): Tensor2D {
  expectOptions('groupMean', options, OPTIONS);
  const { headDim, groupSizes, pooling } = options;
  expectShape('groupMean', 'x', x, [null, null]);
  expectShape('groupMean', 'assignment', assignment, [x.shape[0]]);
  expectFloats('groupMean', { x });
  expectType('groupMean', 'assignment', assignment, 'int32');
  const heads = x.shape[1] / headDim;
  const misfit = groupSizes.find((size) => !Number.isInteger(size) || size < 1 || heads % size !== 0);
  if (!Number.isInteger(heads) || misfit !== undefined) {
    throw new ArgumentError(
      `groupMean: expected heads of ${headDim} in rows of ${x.shape[1]} and group sizes that divide their number, ` +
        `got group sizes ${groupSizes.join(', ')} for ${heads} heads`,
    );
  }
  const run = (x: Tensor2D, assignment: Tensor1D) =>
    hasKernel('MixsgaGroupMean')
      ? runKernel('MixsgaGroupMean', { x, assignment }, { headDim, groupSizes: [...groupSizes], root: pooling === 'root' })
      : [groupMeanReference(x, assignment, options)];
  return withGradient(
    [x],
    (save, [x]) => {
      save([assignment]);
      return run(x as Tensor2D, assignment)[0]!;
    },
    (dy, [assignment]) => run(dy as Tensor2D, assignment as Tensor1D),
  ) as Tensor2D;
}

import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { expectFloats, expectShape } from '../validate';
import { expertChoiceReference } from './reference';

/**
 * Progressive expert choice (paper section 3.2): in each sequence experts pick in order, expert e taking among the
 * tokens that none took before it the ⌈ρ_e·T⌉ with the highest score, ties to the earlier token; the last expert
 * takes all that remain. T counts the real tokens of the sequence.
 *
 * @param scores float32 [B, T, E]
 * @param ratios E capacity ratios, summing to 1
 * @param mask int32 [B, T], 0 for padding, which gets −1 and takes no capacity; all real when left out
 * @returns int32 [B, T], the expert of each token; its gradient is zero
 * @throws ArgumentError when the shapes do not fit
 */
export function expertChoice(scores: Tensor3D, ratios: readonly number[], mask?: Tensor2D): Tensor2D {
  expectShape('expertChoice', 'scores', scores, [null, null, ratios.length]);
  expectFloats('expertChoice', { scores });
  const [batch, length] = scores.shape;
  if (mask) expectShape('expertChoice', 'mask', mask, [batch, length]);
  if (ratios.length === 0 || ratios.some((ratio) => !(ratio >= 0))) {
    throw new ArgumentError(`expertChoice: expected ratios of 0 or more, got ${ratios.join(':')}`);
  }
  const forward = (scores: Tensor3D) => {
    const real = mask ? (tf.cast(mask, 'int32') as Tensor2D) : undefined;
    if (!hasKernel('MixsgaExpertChoice')) return expertChoiceReference(scores, ratios, real);
    const inputs: Record<string, tf.Tensor> = real ? { scores, mask: real } : { scores };
    return runKernel('MixsgaExpertChoice', inputs, { ratios: [...ratios] })[0] as Tensor2D;
  };
  // A gradient of zeros, as arg max has it, so that a loss may use the assignment.
  return withGradient(
    [scores],
    (_, [scores]) => forward(scores as Tensor3D),
    () => [tf.zeros(scores.shape)],
  ) as Tensor2D;
}

import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { expectOptions, type OptionNames } from '../../options';
import { hasKernel, runKernel, withGradient } from '../dispatch';
import { HEAD_OPTIONS } from '../linear-cross-entropy/op';
import { expectFloats, expectShape, expectSoftCap, expectType } from '../validate';
import { distillationReference, type HeadInputs } from './reference';

const INPUTS: OptionNames<HeadInputs> = { ...HEAD_OPTIONS, x: true, w: true };

/** Means over the rows with a target, in nats. */
export interface DistillationLoss {
  /** (1 − weight)·lm + weight·kl: the only one with a gradient. */
  readonly loss: Scalar;
  /** −log q(target) */
  readonly lm: Scalar;
  /** Σ p·log(p/q) */
  readonly kl: Scalar;
}

/**
 * The language-model head with a loss that draws its distribution q towards a teacher's, p (Hinton et al., arXiv 1503.02531, at
 * temperature 1): (1 − weight)·−log q(target) + weight·KL(p ‖ q). Nothing of shape [rows, vocabulary] outlives the call,
 * and on wasm it never exists as a whole.
 *
 * @param student differentiable in x and w
 * @param teacher of the same rows and vocabulary; its size may be another; no gradient
 * @param targets int32 [rows]; rows with a negative one are left out of the means
 * @param weight of the divergence, from 0 to 1
 * @throws ArgumentError when a shape, a type or the weight does not fit, and on wasm when a target is out of range
 */
export function linearDistillation(student: HeadInputs, teacher: HeadInputs, targets: Tensor1D, weight: number): DistillationLoss {
  validate(student, teacher, targets, weight);
  return tf.tidy(() => {
    const losses = withGradient(
      [student.x, student.w],
      (save, [x, w]) => {
        const [nll, kl, dx, dw] = forward({ ...student, x: x as Tensor2D, w: w as Tensor2D }, teacher, targets, weight);
        save([dx, dw]);
        const counted = tf.maximum(tf.sum(tf.cast(tf.greaterEqual(targets, 0), 'float32')), 1);
        const [lm, divergence] = [tf.div(tf.sum(nll), counted), tf.div(tf.sum(kl), counted)];
        return tf.stack([tf.add(tf.mul(lm, 1 - weight), tf.mul(divergence, weight)), lm, divergence]);
      },
      (dy, [dx, dw]) => {
        const scale = tf.slice(dy, 0, 1);
        return [tf.mul(dx!, scale), tf.mul(dw!, scale)];
      },
    );
    const [loss, lm, kl] = tf.unstack(losses) as [Scalar, Scalar, Scalar];
    return { loss, lm, kl };
  });
}

type Forward = [nll: Tensor1D, kl: Tensor1D, dx: Tensor2D, dw: Tensor2D];

function forward(student: HeadInputs, teacher: HeadInputs, targets: Tensor1D, weight: number): Forward {
  if (!hasKernel('MixsgaLinearDistillation')) return distillationReference(student, teacher, targets, weight);
  const inputs = { x: student.x, w: student.w, teacherX: teacher.x, teacherW: teacher.w, targets };
  const attributes = { softCap: student.softCap ?? 0, teacherSoftCap: teacher.softCap ?? 0, weight };
  return runKernel('MixsgaLinearDistillation', inputs, attributes) as Forward;
}

function validate(student: HeadInputs, teacher: HeadInputs, targets: Tensor1D, weight: number): void {
  const operation = 'linearDistillation';
  expectOptions(`${operation}: student`, student, INPUTS);
  expectOptions(`${operation}: teacher`, teacher, INPUTS);
  expectShape(operation, 'student.x', student.x, [null, null]);
  expectShape(operation, 'student.w', student.w, [null, student.x.shape[1]]);
  expectShape(operation, 'teacher.x', teacher.x, [student.x.shape[0], null]);
  expectShape(operation, 'teacher.w', teacher.w, [student.w.shape[0], teacher.x.shape[1]]);
  expectShape(operation, 'targets', targets, [student.x.shape[0]]);
  expectFloats(operation, { 'student.x': student.x, 'student.w': student.w, 'teacher.x': teacher.x, 'teacher.w': teacher.w });
  expectType(operation, 'targets', targets, 'int32');
  for (const { softCap } of [student, teacher]) expectSoftCap(operation, softCap);
  if (!(weight >= 0 && weight <= 1)) throw new ArgumentError(`${operation}: expected a weight from 0 to 1, got ${weight}`);
}

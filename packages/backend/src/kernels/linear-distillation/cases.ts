import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { integers, normal } from '../../testing/inputs';
import type { KernelCase } from '../../testing/kernel-case';
import { linearDistillation } from './op';
import type { HeadInputs } from './reference';

interface Shape {
  readonly rows: number;
  readonly size: number;
  readonly teacherSize: number;
  readonly vocabulary: number;
  readonly weight: number;
  /** Targets are drawn from here; negative ones leave rows out. */
  readonly least?: number;
  readonly softCap?: number;
  readonly teacherSoftCap?: number;
}

// Around the kernel's block of 64 rows and its vectors of 4.
const shapes: readonly Shape[] = [
  { rows: 1, size: 3, teacherSize: 2, vocabulary: 2, weight: 0.5 },
  { rows: 5, size: 6, teacherSize: 6, vocabulary: 10, weight: 1 },
  { rows: 3, size: 4, teacherSize: 9, vocabulary: 7, weight: 0 },
  { rows: 64, size: 8, teacherSize: 8, vocabulary: 33, weight: 0.7 },
  { rows: 65, size: 12, teacherSize: 5, vocabulary: 130, weight: 1 },
  { rows: 7, size: 16, teacherSize: 16, vocabulary: 519, weight: 0.25 },
  { rows: 130, size: 7, teacherSize: 7, vocabulary: 9, weight: 0.5, least: -9 },
  { rows: 66, size: 8, teacherSize: 8, vocabulary: 35, weight: 0.6, least: -9, softCap: 1.5, teacherSoftCap: 2 },
];

const logProbabilities = ({ x, w, softCap }: HeadInputs) => {
  const products = tf.matMul(x, w, false, true);
  return tf.logSoftmax(softCap === undefined ? products : tf.mul(tf.tanh(tf.div(products, softCap)), softCap));
};

/** The definition, whose gradients are automatic. */
function plain(student: HeadInputs, teacher: HeadInputs, targets: Tensor1D, weight: number) {
  const [logQ, logP] = [logProbabilities(student), logProbabilities(teacher)];
  const counts = tf.cast(tf.greaterEqual(targets, 0), 'float32');
  const isTarget = tf.oneHot(targets, student.w.shape[0]);
  const mean = (rows: tf.Tensor) => tf.div<tf.Scalar>(tf.sum(tf.mul(rows, counts)), tf.maximum(tf.sum(counts), 1));
  const lm = mean(tf.neg(tf.sum(tf.mul(logQ, isTarget), 1)));
  const kl = mean(tf.sum(tf.mul(tf.exp(logP), tf.sub(logP, logQ)), 1));
  return { loss: tf.add<tf.Scalar>(tf.mul(lm, 1 - weight), tf.mul(kl, weight)), lm, kl };
}

export const cases: KernelCase[] = shapes.flatMap(({ rows, size, teacherSize, vocabulary, weight, least = 0, softCap, teacherSoftCap }) => {
  const of = (distillation: typeof linearDistillation) => (x: Tensor2D, w: Tensor2D, teacherX: Tensor2D, teacherW: Tensor2D, targets: Tensor1D) =>
    distillation(
      { x, w, ...(softCap ? { softCap } : {}) },
      { x: teacherX, w: teacherW, ...(teacherSoftCap ? { softCap: teacherSoftCap } : {}) },
      targets,
      weight,
    );
  const name = `${rows}x${size}, vocabulary ${vocabulary}, weight ${weight}${least < 0 ? ', some left out' : ''}${softCap ? ', capped' : ''}`;
  const common: Pick<KernelCase, 'kernel' | 'inputs'> = {
    kernel: 'linearDistillation',
    inputs: (random) => [
      normal(random, [rows, size]),
      normal(random, [vocabulary, size], size ** -0.5),
      normal(random, [rows, teacherSize]),
      normal(random, [vocabulary, teacherSize], teacherSize ** -0.5),
      integers(random, [rows], vocabulary, least),
    ],
  };
  const [run, reference] = [of(linearDistillation), of(plain)] as const;
  type Inputs = Parameters<typeof run>;
  return [
    { ...common, name, run: (...all) => run(...(all as Inputs)).loss, reference: (...all) => reference(...(all as Inputs)).loss, differentiable: [0, 1] },
    { ...common, name: `${name}, its parts`, run: (...all) => Object.values(run(...(all as Inputs))), reference: (...all) => Object.values(reference(...(all as Inputs))) },
  ];
});

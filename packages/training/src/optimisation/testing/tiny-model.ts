import { embedding, linear, linearCrossEntropy, SeededRandom } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';

import type { TrainableModel } from '../trainer';

/** A bigram language model with a bias, and the norm of that bias instead of a consistency loss. */
export class TinyModel implements TrainableModel {
  private readonly variables = new Map<string, tf.Variable>();

  constructor(vocabulary: number, width: number, seed: number) {
    const random = new SeededRandom(seed);
    const normal = (rows: number): number[] => Array.from({ length: rows * width }, () => 0.5 * random.normal());
    this.variables.set('table', tf.tidy(() => tf.variable(tf.tensor2d(normal(vocabulary), [vocabulary, width]))));
    this.variables.set('head', tf.tidy(() => tf.variable(tf.tensor2d(normal(width), [width, width]))));
    this.variables.set('out', tf.tidy(() => tf.variable(tf.tensor2d(normal(vocabulary), [vocabulary, width]))));
    this.variables.set('bias', tf.tidy(() => tf.variable(tf.fill([width], 0.1))));
  }

  parameters(): ReadonlyMap<string, tf.Variable> {
    return this.variables;
  }

  loss({ inputs, targets }: { inputs: tf.Tensor2D; targets: tf.Tensor2D }, { alpha }: { alpha: number }) {
    const [table, head, out] = ['table', 'head', 'out'].map((name) => this.variables.get(name) as unknown as tf.Tensor2D);
    const bias = this.variables.get('bias') as unknown as tf.Tensor1D;
    const x = embedding(table!, tf.reshape(inputs, [inputs.size]));
    const hidden = linear(x, head!, bias, 'relu');
    const lm = linearCrossEntropy(tf.add(hidden, x), out!, tf.reshape(targets, [targets.size]));
    const consistency = tf.sum<tf.Scalar>(tf.square(bias));
    return { total: tf.add<tf.Scalar>(lm, tf.mul(consistency, alpha)), prediction: lm, lm, kl: null, consistency, scores: [] };
  }

  balance(): Promise<void> {
    return Promise.resolve();
  }

  async values(): Promise<Map<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    for (const [name, variable] of this.variables) values.set(name, (await variable.data()).slice() as Float32Array);
    return values;
  }

  dispose(): void {
    for (const variable of this.variables.values()) variable.dispose();
  }
}

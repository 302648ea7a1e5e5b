import * as tf from '@tensorflow/tfjs-core';

import type { KvTraits, LanguageModel, LayerRouting } from '../language-model';

export interface BigramOptions {
  /** Natural logarithms of the odds of each next token: row = token, column = next token; any shift of a row will do. */
  logits: readonly (readonly number[])[];
  contextLength?: number;
  /** Group size of each expert; more than one makes the model route. */
  groupSizes?: readonly number[];
  ratios?: readonly number[];
  /** Layers that route, where there is more than one expert. */
  layers?: number;
}

/**
 * The smallest language model with a known distribution: the next token depends on the last one only, by a table.
 * Its routing is as plain: in layer l, with E experts, prefill gives position t the expert t mod E, and decode
 * gives token i the expert (i + l) mod E. For tests and examples.
 */
export class BigramModel implements LanguageModel {
  readonly contextLength: number;
  readonly kv: KvTraits;
  readonly vocabularySize: number;
  private readonly table: tf.Tensor1D;
  private readonly layers: number;

  constructor({ logits, contextLength = 16, groupSizes = [1], ratios = [1], layers = 1 }: BigramOptions) {
    this.contextLength = contextLength;
    this.vocabularySize = logits.length;
    this.layers = groupSizes.length > 1 ? layers : 0;
    this.table = tf.tidy(() => {
      const rows = tf.tensor2d(logits.map((row) => [...row]));
      return tf.reshape<tf.Rank.R1>(tf.neg(tf.logSoftmax(rows)), [-1]);
    });
    const budget = ratios.reduce((sum, ratio, e) => sum + ratio / groupSizes[e]!, 0);
    this.kv = { bytesPerToken: 1024 * budget, bytesPerTokenFull: 1024, budget, groupSizes, ratios };
  }

  tokenNll(inputs: tf.Tensor2D, targets: tf.Tensor2D): tf.Tensor {
    return tf.tidy(() => {
      const cells = tf.add(tf.mul(inputs, tf.scalar(this.vocabularySize, 'int32')), targets);
      return tf.reshape(tf.gather(this.table, tf.reshape(cells, [-1])), inputs.shape);
    });
  }

  routingOf(inputs: tf.Tensor2D): LayerRouting[] {
    const modulo = (x: tf.Tensor) => tf.mod(x, tf.scalar(this.kv.ratios.length, 'int32'));
    return Array.from({ length: this.layers }, (_, layer) =>
      tf.tidy(() => ({
        prefill: tf.add(tf.zerosLike(inputs), modulo(tf.range(0, inputs.shape[1], 1, 'int32'))),
        decode: modulo(tf.add(inputs, tf.scalar(layer, 'int32'))),
      })),
    );
  }

  dispose(): void {
    this.table.dispose();
  }
}

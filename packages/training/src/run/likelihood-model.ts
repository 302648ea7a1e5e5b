import type { LikelihoodModel } from '@mixsga/evaluators';
import { kvTraits, type TrainableModel } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

/** Size and shape of a model, as reports give them. */
export interface ModelFacts {
  parameters: number;
  layers: number;
  heads: number;
  hidden: number;
}

/** What the evaluators see of a model in training. Owns nothing: the model stays to be disposed by whoever opened it. */
export function likelihoodModel(model: TrainableModel): LikelihoodModel {
  /** Row-major [windows, T] as a tensor. */
  const windowed = (tokens: Int32Array, windows: number) => tf.tensor2d(tokens, [windows, tokens.length / windows], 'int32');
  return {
    contextLength: model.shape.contextLength,
    kv: kvTraits(model.shape, model.attention),
    async likelihood(inputs, targets, { windows, routing }) {
      const nll = tf.tidy(() => model.tokenNll(windowed(inputs, windows), windowed(targets, windows), { routing }));
      try {
        return { nll: (await nll.data()) as Float32Array };
      } finally {
        nll.dispose();
      }
    },
    async routingOf(inputs, { windows, routing }) {
      const ids = windowed(inputs, windows);
      const layers = model.routingOf(ids, { routing });
      try {
        return await Promise.all(
          layers.map(async ({ prefill, decode }) => ({
            prefill: (await prefill.data()) as Int32Array,
            decode: (await decode.data()) as Int32Array,
          })),
        );
      } finally {
        ids.dispose();
        for (const { prefill, decode, scores } of layers) tf.dispose([prefill, decode, scores]);
      }
    },
  };
}

export function modelFacts(model: TrainableModel): ModelFacts {
  return {
    parameters: [...model.parameters().values()].reduce((sum, { size }) => sum + size, 0),
    layers: model.shape.layers,
    heads: model.shape.heads,
    hidden: model.shape.hiddenSize,
  };
}

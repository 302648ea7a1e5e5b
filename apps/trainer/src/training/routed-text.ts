import type { LanguageModel } from '@mixsga/evaluators';
import type { Tokenizer } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import type { RoutedSentence } from '../report';

/** Tokens of the text: a few lines of a figure. */
const LENGTH = 48;

/** A text as a model routes it. */
export type RoutedText = Omit<RoutedSentence, 'method'>;

/** Routes the beginning of a token stream; null where the model does not route. */
export async function routeText(
  model: LanguageModel,
  tokenizer: Tokenizer,
  stream: Int32Array,
): Promise<RoutedText | null> {
  const ids = stream.slice(0, Math.min(LENGTH, model.contextLength));
  const layers = tf.tidy(() => model.routingOf(tf.tensor2d(ids, [1, ids.length], 'int32'), { routing: 'decode' }).map(({ decode }) => decode));
  if (layers.length === 0) return null;
  const experts: number[][] = [];
  for (const layer of layers) experts.push([...(await layer.data())]);
  tf.dispose(layers);
  return {
    routing: 'decode',
    tokens: [...ids].map((id) => tokenizer.decode([id])),
    experts,
    groupSizes: [...model.kv.groupSizes],
  };
}

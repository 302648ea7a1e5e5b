import type { LikelihoodModel } from '@mixsga/evaluators';
import type { Tokenizer } from '@mixsga/models';

import type { RoutedSentence } from '../comparison/extras';

/** Tokens of the text: a few lines of a figure. */
const LENGTH = 48;

/** A text as a model routes it. */
export type RoutedText = Omit<RoutedSentence, 'method'>;

/** Routes the beginning of a token stream; null where the model does not route. */
export async function routeText(
  model: LikelihoodModel,
  tokenizer: Tokenizer,
  stream: Int32Array,
): Promise<RoutedText | null> {
  const ids = stream.slice(0, Math.min(LENGTH, model.contextLength));
  const layers = await model.routingOf(ids, { windows: 1, routing: 'decode' });
  if (layers.length === 0) return null;
  return {
    routing: 'decode',
    tokens: [...ids].map((id) => tokenizer.decode([id])),
    experts: layers.map(({ decode }) => [...decode]),
    groupSizes: [...model.kv.groupSizes],
  };
}

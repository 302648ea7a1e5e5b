import { ArgumentError } from '@mixsga/backend';
import { modelShape, openModelCheckpoint, type Tokenizer, type TrainableModel, trainableOf } from '@mixsga/models';

import type { RunConfig } from '../config/run-config';
import type { OpenModel } from './model';

/**
 * Loads the frozen teacher of a run: by default the model that is continued, unconverted.
 *
 * @returns null without distillation; else the caller's to dispose
 * @throws ArgumentError when it has another vocabulary than the student, or less context than a window, before its weights are read
 */
export async function openTeacher(
  { distillation, model, sequenceLength }: Pick<RunConfig, 'distillation' | 'model' | 'sequenceLength'>,
  student: Pick<OpenModel, 'model' | 'tokenizer'>,
): Promise<{ model: TrainableModel; weight: number } | null> {
  if (!distillation || distillation.weight === 0) return null;
  const name = distillation.teacher ?? model.from!;
  const checkpoint = await openModelCheckpoint(name);
  try {
    const { vocabularySize, contextLength } = modelShape(checkpoint.modelConfig);
    const wanted = student.model.shape.vocabularySize;
    if (vocabularySize !== wanted) {
      throw new ArgumentError(`distillation.teacher: expected a vocabulary of ${wanted} tokens, as the model's own, got ${name} with ${vocabularySize}`);
    }
    if (tokensOf(await checkpoint.createTokenizer()) !== tokensOf(student.tokenizer)) {
      throw new ArgumentError(`distillation.teacher: expected a model of the same tokenizer, got ${name}, whose tokens are others`);
    }
    if (contextLength < sequenceLength) {
      throw new ArgumentError(`distillation.teacher: expected a context of sequenceLength, ${sequenceLength}, or more, got ${name} with ${contextLength}`);
    }
    return { model: await trainableOf(checkpoint), weight: distillation.weight };
  } finally {
    await checkpoint.tensors.close();
  }
}

/** The tokens of a tokenizer with their ids, as text to compare. */
function tokensOf(tokenizer: Tokenizer): string {
  const { model, added_tokens: added } = JSON.parse(tokenizer.save()) as { model: { vocab: unknown }; added_tokens?: { id: number; content: string }[] };
  return JSON.stringify([model.vocab, added?.map(({ id, content }) => [id, content])]);
}

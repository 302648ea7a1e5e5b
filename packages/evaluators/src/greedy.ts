import type { EvaluationOptions } from './evaluator';
import type { EvaluatedGenerationStats, LanguageModel } from './language-model';

/** Continues a prompt by its likeliest tokens. @returns what the generation tells of itself at its end */
export async function continueGreedily(
  model: LanguageModel,
  prompt: Int32Array,
  maxNewTokens: number,
  options: EvaluationOptions,
): Promise<EvaluatedGenerationStats> {
  const generation = model.generate([prompt], {
    maxNewTokens,
    temperature: 0,
    ...(options.cache !== undefined && { cache: options.cache }),
    ...(options.signal && { signal: options.signal }),
  });
  for await (const { sequence } of generation) void sequence;
  return generation.stats();
}

import { ArgumentError, expectOptions } from '@mixsga/backend';

import type { EvaluationOptions, RetrievalSettings } from '../evaluator';
import { RUN_OPTIONS, type RunOptions } from '../run';

/** Samples of a task at a length that are made, at most: as many as lm-evaluation-harness makes. */
export const MAX_SAMPLES = 500;
const DEFAULT_LENGTH = 4096;

export interface SampleSettings {
  readonly lengths: readonly number[];
  /** Of each task at each length, and each depth where there are some. */
  readonly samples: number;
  readonly seed: number | undefined;
}

/** @throws ArgumentError for what is out of range */
export function sampleSettings(
  who: string,
  { contextLength }: { readonly contextLength: number },
  options: EvaluationOptions,
  defaultSamples: number,
): SampleSettings {
  expectOptions<RunOptions<never>>(`${who}: makeRows`, options, RUN_OPTIONS);
  const { limit, retrieval = {} } = options;
  const { lengths = [Math.min(DEFAULT_LENGTH, contextLength)], seed }: RetrievalSettings = retrieval;
  if (lengths.length === 0 || new Set(lengths).size < lengths.length) {
    throw new ArgumentError(`${who}: expected 1 or more different lengths, got [${lengths.join(', ')}]`);
  }
  for (const length of lengths) {
    if (Number.isInteger(length) && length >= 1 && length <= contextLength) continue;
    throw new ArgumentError(`${who}: expected lengths from 1 to ${contextLength} tokens, the model's context length, got ${length}`);
  }
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
    throw new ArgumentError(`${who}: expected a seed from 0 to ${2 ** 32 - 1}, got ${seed}`);
  }
  const samples = limit ?? defaultSamples;
  if (!(Number.isInteger(samples) && samples >= 1 && samples <= MAX_SAMPLES)) {
    throw new ArgumentError(`${who}: expected a limit from 1 to ${MAX_SAMPLES} samples, got ${samples}`);
  }
  return { lengths, samples, seed };
}

import { ArgumentError, expectOptions, nextTask, type OptionNames } from '@mixsga/backend';
import { CACHE_SPEC } from '@mixsga/kv-cache';

import { DEFAULT_BATCH_SIZE, type EvaluationData, type EvaluationOptions, type Evaluator, type Summary } from './evaluator';
import { CHAT_ENDPOINT } from './judge/chat-completion';
import type { LikelihoodModel } from './language-model';

/** Where the samples of a run are kept while it goes on. */
export interface SampleStore<Sample> {
  /** The samples that an earlier run finished, from the first item on without a gap. */
  load(): Promise<readonly Sample[]>;
  /** Keeps samples that follow those before; resolves when they are safe. */
  append(samples: readonly Sample[]): Promise<void>;
}

export interface RunOptions<Sample> extends Omit<EvaluationOptions, 'onPart'> {
  /** Goes on from the samples in it. Default: all is measured anew, and nothing kept. */
  readonly store?: SampleStore<Sample>;
  /** Called at the start, after each batch and, with a part of an item done, within a long one. */
  readonly onProgress?: (progress: EvaluationProgress) => void;
}

export const RUN_OPTIONS: OptionNames<RunOptions<never>> = {
  store: true, onProgress: true, routing: true, batchSize: true, limit: true, windowLength: true, stride: true, maxWindows: true, cache: CACHE_SPEC,
  judge: CHAT_ENDPOINT, signal: true,
  generation: { seeds: true, temperature: true, topP: true, topK: true, maxNewTokens: true, noRepeatNgramSize: true },
  retrieval: { lengths: true, tasks: true, depths: true, seed: true },
};
const DATA: OptionNames<EvaluationData> = { name: true, tokens: true, rows: true };

export interface EvaluationProgress {
  /** Items measured, those of an earlier run among them: whole ones but within a batch. */
  readonly done: number;
  readonly of: number;
}

export interface Evaluation<Sample> extends Summary {
  readonly samples: readonly Sample[];
}

/**
 * Runs an evaluator over all its items, batch by batch.
 *
 * @throws ArgumentError when there is nothing to measure or the store holds more samples than there are items; what the
 *   evaluator throws; the signal's reason. Samples that were finished stay in the store
 */
export async function runEvaluator<Item, Sample extends object, Model extends LikelihoodModel>(
  evaluator: Evaluator<Item, Sample, Model>,
  model: Model,
  data: EvaluationData,
  options: RunOptions<Sample>,
): Promise<Evaluation<Sample>> {
  expectOptions<RunOptions<Sample>>(evaluator.name, options, RUN_OPTIONS);
  expectOptions(`${evaluator.name}: data`, data, DATA);
  const { store, onProgress, ...settings } = options;
  const { batchSize = DEFAULT_BATCH_SIZE, limit, signal } = settings;
  for (const [name, value] of Object.entries({ batchSize, limit })) {
    if (value === undefined || (Number.isInteger(value) && value >= 1)) continue;
    throw new ArgumentError(`${evaluator.name}: expected ${name} to be a whole number from 1 on, got ${value}`);
  }
  if (data[evaluator.reads] === undefined) {
    const what = evaluator.reads === 'rows' ? 'the rows of a data set' : 'a text';
    throw new ArgumentError(`${evaluator.name}: expected ${what}, and ${data.name} is none`);
  }
  const items = evaluator.items(model, data, settings);
  if (items.length === 0) throw new ArgumentError(`${evaluator.name}: expected something to measure, and ${data.name} holds nothing`);
  const samples = [...((await store?.load()) ?? [])];
  if (samples.length > items.length) {
    throw new ArgumentError(
      `${evaluator.name}: expected at most ${items.length} finished samples, found ${samples.length}; they are of other data, start anew`,
    );
  }
  onProgress?.({ done: samples.length, of: items.length });
  while (samples.length < items.length) {
    await nextTask();
    signal?.throwIfAborted();
    const chosen = items.slice(samples.length, samples.length + batchSize);
    const onPart = onProgress && ((share: number) => onProgress({ done: samples.length + share * chosen.length, of: items.length }));
    const batch = await evaluator.measure(model, chosen, { ...settings, ...(onPart && { onPart }) });
    await store?.append(batch);
    samples.push(...batch);
    onProgress?.({ done: samples.length, of: items.length });
  }
  return { ...evaluator.summarise(samples, model, settings), samples };
}

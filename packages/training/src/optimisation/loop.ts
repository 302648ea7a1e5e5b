import { expectOptions, nextTask, type OptionNames } from '@mixsga/backend';
import type * as tf from '@tensorflow/tfjs-core';

import { type ProgressState, SpeedMeter } from '../progress/progress';
import { type Batch, tokensOf, type Trainer, type TrainableModel } from './trainer';

/** Where training batches come from; its state makes the same batches follow again. */
export interface Sampler {
  next(): Batch;
  /** Plain data that survives JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

/** A row of metrics.jsonl: what happened at a step. */
export type MetricRow = { kind: 'train' | 'validation'; step: number; tokens: number } & Record<string, number | string>;

/** Where a run stands. Plain data. */
export interface CheckpointState {
  readonly step: number;
  /** Trained on so far, padding not counted. */
  readonly tokens: number;
  /** As {@link Sampler.state} gave it. */
  readonly sampler: unknown;
}

/** The variables that a checkpoint holds. */
export interface CheckpointVariables {
  model: ReadonlyMap<string, tf.Variable>;
  optimizer: ReadonlyMap<string, tf.Variable>;
}

/** Where checkpoints are kept; `CheckpointStore` keeps them in a folder. */
export interface Checkpoints {
  save(state: CheckpointState, variables: CheckpointVariables): Promise<void>;
}

export interface LoopOptions {
  model: TrainableModel;
  trainer: Trainer;
  sampler: Sampler;
  totalSteps: number;
  /** Batches of a step. Default 1. */
  accumulate?: number;
  /** Default: none are kept. */
  checkpoints?: Checkpoints;
  /** Steps between two checkpoints. Default: one after the last step. */
  checkpointEvery?: number;
  /** Real tokens of the steps that were taken already. Default 0. */
  tokensBefore?: number;
  /** Validation in the middle of training, after a step: what it measured, by name. Default: none. */
  evaluate?: (step: number) => Promise<Record<string, number>>;
  /** Steps between two validations; 0: never. Default 0. */
  evaluateEvery?: number;
  /** Takes what happened at each step and validation. */
  record?: (row: MetricRow) => void;
  onProgress?: (state: ProgressState) => void;
  /** Aborted: the loop ends after the step it is in, with a checkpoint. */
  signal?: AbortSignal;
}

const LOOP: OptionNames<LoopOptions> = {
  model: true, trainer: true, sampler: true, totalSteps: true, accumulate: true, checkpoints: true, checkpointEvery: true, tokensBefore: true,
  evaluate: true, evaluateEvery: true, record: true, onProgress: true, signal: true,
};

/**
 * Trains from the trainer's step to the last one. Every row of a step is recorded before the checkpoint of that
 * step is saved, so that a resumed run continues both the numbers and the records.
 *
 * @returns whether the last step was reached, if not, the signal was aborted and a checkpoint is saved; and the real tokens of all steps
 */
export async function trainLoop(options: LoopOptions): Promise<{ reached: boolean; tokens: number }> {
  expectOptions('trainLoop', options, LOOP);
  const { model, trainer, sampler, totalSteps, accumulate = 1, evaluate, evaluateEvery = 0, checkpoints, checkpointEvery = Infinity, record, signal } = options;
  let tokens = options.tokensBefore ?? 0;
  const speed = new SpeedMeter();
  while (trainer.step < totalSteps) {
    const start = performance.now();
    const batches = Array.from({ length: accumulate }, () => sampler.next());
    const result = await trainer.takeStep(batches);
    const tokensOfStep = batches.reduce((sum, batch) => sum + tokensOf(batch), 0);
    speed.add(tokensOfStep, (performance.now() - start) / 1000);

    const step = result.step;
    tokens += tokensOfStep;
    record?.({ kind: 'train', tokens, ...result, tokensPerSecond: Math.round(speed.tokensPerSecond) });
    options.onProgress?.({
      step,
      totalSteps,
      loss: result.lm,
      tokensPerSecond: speed.tokensPerSecond,
      stepsPerSecond: speed.stepsPerSecond,
    });
    const last = step === totalSteps;
    if (evaluate && evaluateEvery > 0 && (last || step % evaluateEvery === 0)) {
      const measured = await evaluate(step);
      record?.({ kind: 'validation', step, tokens, ...measured });
    }
    // On a backend that answers at once nothing above waits, and a signal is only heard when the event loop turns.
    await nextTask();
    const stopping = (signal?.aborted ?? false) && !last;
    if (last || stopping || step % checkpointEvery === 0) {
      const state = { step, tokens, sampler: sampler.state() };
      await checkpoints?.save(state, { model: model.parameters(), optimizer: trainer.adamw.state() });
    }
    if (stopping) return { reached: false, tokens };
  }
  return { reached: true, tokens };
}

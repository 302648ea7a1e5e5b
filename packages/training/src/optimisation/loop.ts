import { type CheckpointStore } from '../checkpoints/checkpoint';
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

export interface LoopOptions {
  model: TrainableModel;
  trainer: Trainer;
  sampler: Sampler;
  checkpoints: CheckpointStore;
  totalSteps: number;
  accumulate: number;
  /** Real tokens of the steps that were taken already. */
  tokensBefore: number;
  checkpointEvery: number;
  /** 0: never. */
  evaluateEvery: number;
  /** Validation in the middle of training, after a step: what it measured, by name. */
  evaluate: (step: number) => Promise<Record<string, number>>;
  record: (row: MetricRow) => void;
  onProgress: (state: ProgressState) => void;
  /** Aborted: the loop ends after the step it is in, with a checkpoint. */
  signal: AbortSignal;
}

/**
 * Trains from the trainer's step to the last one. Every row of a step is recorded before the checkpoint of that
 * step is saved, so that a resumed run continues both the numbers and the records.
 *
 * @returns whether the last step was reached, if not, the signal was aborted and a checkpoint is saved; and the real tokens of all steps
 */
export async function trainLoop(options: LoopOptions): Promise<{ reached: boolean; tokens: number }> {
  const { trainer, sampler, totalSteps } = options;
  let tokens = options.tokensBefore;
  const speed = new SpeedMeter();
  while (trainer.step < totalSteps) {
    const start = performance.now();
    const batches = Array.from({ length: options.accumulate }, () => sampler.next());
    const result = await trainer.takeStep(batches);
    const tokensOfStep = batches.reduce((sum, batch) => sum + tokensOf(batch), 0);
    speed.add(tokensOfStep, (performance.now() - start) / 1000);

    const step = result.step;
    tokens += tokensOfStep;
    options.record({ kind: 'train', tokens, ...result, tokensPerSecond: Math.round(speed.tokensPerSecond) });
    options.onProgress({
      step,
      totalSteps,
      loss: result.lm,
      tokensPerSecond: speed.tokensPerSecond,
      stepsPerSecond: speed.stepsPerSecond,
    });
    const last = step === totalSteps;
    if (options.evaluateEvery > 0 && (last || step % options.evaluateEvery === 0)) {
      options.record({ kind: 'validation', step, tokens, ...(await options.evaluate(step)) });
    }
    // On a backend that answers at once nothing above waits, and a signal is only heard when the event loop turns.
    await new Promise((resolve) => setImmediate(resolve));
    const stopping = options.signal.aborted && !last;
    if (last || stopping || step % options.checkpointEvery === 0) {
      const state = { step, tokens, sampler: sampler.state() };
      await options.checkpoints.save(state, { model: options.model.parameters(), optimizer: trainer.adamw.state() });
    }
    if (stopping) return { reached: false, tokens };
  }
  return { reached: true, tokens };
}

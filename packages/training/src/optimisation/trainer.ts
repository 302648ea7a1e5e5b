import { expectOptions, type HeadInputs, MixsgaError, namingMemory, type OptionNames, sumOfSquares } from '@mixsga/backend';
import type { BalanceBatch, Loss, LossOptions, TrainingBatch } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import { AdamW, type AdamWOptions, clippingFactor } from './optimizer';
import { learningRateAt, type ScheduleOptions } from './schedule';

/** How far a step moves routers that are balanced to where its own tokens would have them. */
const BALANCE_RATE = 0.1;

/** What the trainer needs of a model. */
export interface TrainableModel {
  /** Every variable of the saved model, by its name there; those that have `trainable` false are not the optimizer's. */
  parameters(): ReadonlyMap<string, tf.Variable>;
  /** The training loss of a batch: `total` is differentiated, the others are reported. */
  loss(batch: TrainingBatch, options: LossOptions): Loss;
  /** Without a gradient, from the scores of a step's batches. */
  balance(batches: readonly BalanceBatch[], rate: number): Promise<void>;
}

/** A frozen model that another is drawn to. */
export interface Teacher {
  model: { predictions(batch: Pick<TrainingBatch, 'inputs' | 'mask'>): HeadInputs };
  /** Of the divergence from its distributions, from 0 to 1; the likelihood has the rest. */
  weight: number;
}

/** Token ids of B windows of T tokens, row-major, as {@link TrainingBatch} has them. */
export interface Batch {
  /** T. Default: that of the trainer. */
  length?: number;
  inputs: Int32Array;
  /** The token that follows each input; a negative one does not count in the loss. */
  targets: Int32Array;
  /** 0 for padding, which is on the right of a window; all tokens are real when left out. */
  mask?: Int32Array;
}

export interface TrainerOptions {
  schedule: ScheduleOptions;
  optimizer: AdamWOptions;
  /** Global gradient norm above which gradients are scaled down. */
  clip: number;
  /** Weight α of the router's consistency loss, and how gradients pass between routers and the rest. */
  routerLoss: Pick<LossOptions, 'alpha' | 'detach' | 'estimator'>;
  /** T, tokens of a window. */
  sequenceLength: number;
  /** Its variables are not trained; stays the caller's. */
  teacher?: Teacher;
}

const TRAINER: OptionNames<TrainerOptions> = {
  schedule: { learningRate: true, minLearningRateRatio: true, warmupSteps: true, totalSteps: true },
  optimizer: { beta1: true, beta2: true, epsilon: true, weightDecay: true },
  clip: true,
  routerLoss: { alpha: true, detach: true, estimator: true },
  sequenceLength: true,
  teacher: true,
};

/** What one step did, read back from the device in one transfer. */
export interface StepResult {
  /** 1-based. */
  step: number;
  /** What is minimised: nats a token, of the likelihood, or what a teacher makes of it, plus α times the consistency loss. */
  loss: number;
  /** Nats a token. */
  lm: number;
  /** Divergence from the teacher, nats a token; left out without one. */
  kl?: number;
  consistency: number;
  /** Global norm of the gradients before clipping. */
  gradientNorm: number;
  learningRate: number;
}

/**
 * Gradient steps on a model: forward and backward over one or more batches, clipping, AdamW in place. A step minimises the mean over
 * all targets that count in its batches, and the consistency over all real tokens, however they are spread over the batches.
 */
export class Trainer {
  readonly adamw: AdamW;
  private readonly parameters: ReadonlyMap<string, tf.Variable>;
  private readonly variables: tf.Variable[];
  private readonly nameOf: Map<string, string>;

  /** @param step steps already taken: 0, or the step of the checkpoint that was restored. */
  constructor(
    private readonly model: TrainableModel,
    private readonly options: TrainerOptions,
    public step = 0,
  ) {
    expectOptions('Trainer', options, TRAINER);
    this.parameters = new Map([...model.parameters()].filter(([, { trainable }]) => trainable));
    this.variables = [...this.parameters.values()];
    this.nameOf = new Map([...this.parameters].map(([name, variable]) => [variable.name, name]));
    this.adamw = new AdamW(this.parameters, options.optimizer);
  }

  /** One optimizer step over `batches`. @throws MixsgaError when the loss is not finite; OutOfMemoryError naming the batch. */
  async takeStep(batches: readonly Batch[]): Promise<StepResult> {
    for (const batch of batches) expectOptions('takeStep', batch, { length: true, inputs: true, targets: true, mask: true });
    const size = () => {
      const lengths = batches.map((batch) => this.lengthOf(batch));
      const windows = Math.max(...batches.map(({ inputs }, i) => inputs.length / lengths[i]!));
      return `training: step ${this.step + 1} with a batch of ${windows} sequences of up to ${Math.max(...lengths)} tokens`;
    };
    return namingMemory(size, 'lower batchSize (accumulate adds batches up) or sequenceLength', () => this.descend(batches));
  }

  private async descend(batches: readonly Batch[]): Promise<StepResult> {
    const step = this.step + 1;
    const learningRate = learningRateAt(step, this.options.schedule);
    const { gradients, losses, scored } = this.accumulate(batches);
    const summary = tf.tidy(() => tf.concat1d([losses, tf.reshape(sumOfSquares([...gradients.values()]), [1])]));
    const values = await summary.data();
    tf.dispose([losses, summary]);

    const [loss, lm, consistency, kl, squares] = [...values] as [number, number, number, number, number];
    const mean = 1 / batches.length;
    const gradientNorm = Math.sqrt(squares) * mean;
    const finite = Number.isFinite(loss) && Number.isFinite(gradientNorm);
    if (finite) {
      const scale = mean * clippingFactor(gradientNorm, this.options.clip);
      this.adamw.apply(gradients, learningRate, scale, step);
      // The mean of the first steps, and from then on one that forgets.
      if (scored.some(({ scores }) => scores.length > 0)) await this.model.balance(scored, Math.max(BALANCE_RATE, 1 / step));
    }
    tf.dispose([...gradients.values(), ...scored.flatMap(({ scores }) => scores)]);
    if (!finite) {
      throw new MixsgaError(
        `training: step ${step} has loss ${loss * mean} and gradient norm ${gradientNorm}, expected finite numbers; ` +
          `lower optimizer.learningRate (${this.options.schedule.learningRate}) or raise optimizer.warmupRatio`,
      );
    }
    this.step = step;
    const divergence = this.options.teacher ? { kl: kl * mean } : {};
    return { step, loss: loss * mean, lm: lm * mean, ...divergence, consistency: consistency * mean, gradientNorm, learningRate };
  }

  /** Disposes the optimizer's moments; the model stays the caller's. */
  dispose(): void {
    this.adamw.dispose();
  }

  /** Gradients by parameter name and [total, lm, consistency, kl], summed over the batches, and the scores of each; the caller disposes all. */
  private accumulate(batches: readonly Batch[]): Gradients & { scored: BalanceBatch[] } {
    const gradients = new Map<string, tf.Tensor>();
    const scored: BalanceBatch[] = [];
    let losses: tf.Tensor1D | undefined;
    const lm = shares(batches.map(({ targets }) => count(targets, (id) => id >= 0)));
    const consistency = shares(batches.map(tokensOf));
    for (const [i, batch] of batches.entries()) {
      const one = this.gradientsOf(batch, { lm: lm[i]!, consistency: consistency[i]! });
      for (const [name, gradient] of one.gradients) gradients.set(name, addAndDispose(gradients.get(name), gradient));
      losses = addAndDispose(losses, one.losses);
      scored.push({ scores: one.scores, ...(batch.mask ? { mask: batch.mask } : {}) });
    }
    if (losses === undefined) throw new MixsgaError('takeStep: expected at least one batch, got none');
    return { gradients, losses, scored };
  }

  private lengthOf({ length }: Batch): number {
    return length ?? this.options.sequenceLength;
  }

  /** @param weights of the batch's means in those of the step; 1 where all batches count alike */
  private gradientsOf(batch: Batch, weights: Weights): Gradients & Pick<Loss, 'scores'> {
    const length = this.lengthOf(batch);
    const shape: [number, number] = [batch.inputs.length / length, length];
    const inputs = tf.tensor2d(batch.inputs, shape, 'int32');
    const targets = tf.tensor2d(batch.targets, shape, 'int32');
    const mask = batch.mask && tf.tensor2d(batch.mask, shape, 'int32');
    const tensors = { inputs, targets, ...(mask ? { mask } : {}) };
    const { routerLoss, teacher } = this.options;
    // Outside of the tape, which would keep every activation of the teacher.
    const distillation = teacher && { teacher: teacher.model.predictions(tensors), weight: teacher.weight };
    let losses: tf.Tensor1D | undefined;
    let scores: readonly tf.Tensor3D[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const loss = this.model.loss(tensors, { ...routerLoss, ...(distillation && { distillation }) });
      const { total, lm, consistency, kl } = weighted(loss, weights, routerLoss.alpha);
      // variableGrads disposes all but the value it is given: what is to be reported or balanced must be kept.
      scores = loss.scores.map((each) => tf.keep(each));
      losses = tf.keep(tf.stack([total, lm, consistency, kl ?? tf.scalar(0)]) as tf.Tensor1D);
      return total;
    }, this.variables);
    tf.dispose([value, ...Object.values(tensors), ...(distillation ? [distillation.teacher.x] : [])]);
    const gradients = new Map<string, tf.Tensor>();
    for (const [variable, gradient] of Object.entries(grads)) gradients.set(this.nameOf.get(variable)!, gradient);
    return { gradients, losses: losses!, scores };
  }
}

interface Gradients {
  gradients: Map<string, tf.Tensor>;
  losses: tf.Tensor1D;
}

interface Weights {
  lm: number;
  consistency: number;
}

function weighted(losses: Omit<Loss, 'scores'>, weights: Weights, alpha: number): Omit<Loss, 'scores'> {
  if (weights.lm === 1 && weights.consistency === 1) return losses;
  const overTargets = (loss: tf.Scalar) => tf.mul<tf.Scalar>(loss, weights.lm);
  const [prediction, lm, kl] = [overTargets(losses.prediction), overTargets(losses.lm), losses.kl && overTargets(losses.kl)];
  const consistency = tf.mul<tf.Scalar>(losses.consistency, weights.consistency);
  return { total: alpha === 0 ? prediction : tf.add<tf.Scalar>(prediction, tf.mul(consistency, alpha)), prediction, lm, kl, consistency };
}

/** Each count over their mean. */
function shares(counts: readonly number[]): number[] {
  const sum = counts.reduce((a, b) => a + b, 0);
  return counts.map((n) => (n * counts.length) / sum);
}

/** Real tokens of a batch. */
export function tokensOf({ inputs, mask }: Batch): number {
  return mask === undefined ? inputs.length : count(mask, (real) => real !== 0);
}

function count(values: Int32Array, counts: (value: number) => boolean): number {
  return values.reduce((sum, value) => sum + (counts(value) ? 1 : 0), 0);
}

function addAndDispose<T extends tf.Tensor>(sum: T | undefined, term: T): T {
  if (sum === undefined) return term;
  const next = tf.add(sum, term) as T;
  tf.dispose([sum, term]);
  return next;
}

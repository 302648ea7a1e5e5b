/** The part of the optimizer's settings that the learning rate follows. */
export interface ScheduleOptions {
  /** The highest learning rate, reached at the end of the warm-up. */
  learningRate: number;
  /** The lowest, as a share of the highest, reached at the last step. */
  minLearningRateRatio: number;
  /** Steps of linear warm-up. */
  warmupSteps: number;
  totalSteps: number;
}

/**
 * Linear warm-up, then a half cosine down to the minimum: the schedule of the paper's continued
 * pretraining (its Section 4.2).
 *
 * @param step 1-based: the step that is about to be taken.
 */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  const { learningRate, minLearningRateRatio, warmupSteps, totalSteps } = options;
  if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  const cosine = (1 + Math.cos(Math.PI * progress)) / 2;
  return learningRate * (minLearningRateRatio + (1 - minLearningRateRatio) * cosine);
}

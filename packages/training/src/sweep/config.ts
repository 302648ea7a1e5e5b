import { z } from 'zod';

/** Configuration of a sweep: every combination of the grid's values is a run of the base configuration. */
export const sweepConfig = z.strictObject({
  kind: z.literal('sweep'),
  /** A run's configuration; the grid may add what is missing. */
  base: z.record(z.string(), z.unknown()),
  /**
   * Dotted keys of a run's configuration, each with a list of values; or a name of one's own, with named groups of settings:
   * `"method": {"GQA 2": {"model.attention": "gqa:2", "optimizer.learningRate": 5e-4}, …}`. `seed` is what means are taken over.
   */
  grid: z.record(z.string(), z.unknown()),
  /** The metric that the best setting is chosen by: of the validation, or `TASK.METRIC`. */
  metric: z.string().default('perplexity'),
  /** Grids of more runs are refused. */
  maximumRuns: z.number().int().positive().default(100),
  /** Runs at a time, each in a process of its own with one thread. Default: 2, or 1 on a single core. */
  concurrency: z.number().int().positive().optional(),
});

export type SweepConfigInput = z.input<typeof sweepConfig>;
export type SweepConfig = z.output<typeof sweepConfig>;

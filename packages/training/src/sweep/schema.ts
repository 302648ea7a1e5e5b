import { FileError } from '@mixsga/backend';
import { z } from 'zod';

/** A metric over the seeds of a setting. */
const metricSpread = z.strictObject({
  mean: z.number(),
  min: z.number(),
  max: z.number(),
  /** Sample standard deviation; null of one seed. */
  std: z.number().nullable(),
  seeds: z.number(),
});

/** One setting of a sweep: a combination of the grid's values, over its seeds. */
const settingResult = z.strictObject({
  /** Its value of each key of the grid but `seed`, as text. */
  settings: z.record(z.string(), z.string()),
  seeds: z.array(z.number()),
  /** Of the model. */
  parameters: z.number(),
  kvBudget: z.number(),
  kvBytesPerToken: z.number(),
  /** By name; what a setting does not have is not there. */
  metrics: z.record(z.string(), metricSpread),
});

/** What `sweep.json` holds. */
const sweepSchema = z.strictObject({
  schema: z.literal('mixsga/sweep@1'),
  backend: z.string(),
  corpus: z.string(),
  /** Wall-clock time of the whole sweep. */
  seconds: z.number(),
  /** The metric that the best setting is chosen by, and whether more of it is better. */
  metric: z.string(),
  higherIsBetter: z.boolean(),
  /** Keys of the grid but `seed`. */
  keys: z.array(z.string()),
  /** In the order of the grid. */
  settings: z.array(settingResult),
  /** Place in `settings` of the best mean of the metric; null where no setting has the metric. */
  best: z.number().nullable(),
  runs: z.array(
    z.strictObject({
      settings: z.record(z.string(), z.string()),
      seed: z.number(),
      folder: z.string(),
      tokens: z.number(),
      metrics: z.record(z.string(), z.number()),
    }),
  ),
});

export type MetricSpread = z.output<typeof metricSpread>;
export type SettingResult = z.output<typeof settingResult>;
export type SweepReport = z.output<typeof sweepSchema>;

/** Checks a sweep. @throws FileError that names the field, with `path` as the file it is about */
export function parseSweep(value: unknown, path: string): SweepReport {
  const result = sweepSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new FileError(path, `${issue.path.join('.') || 'sweep'}: ${issue.message}`);
}

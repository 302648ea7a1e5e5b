import type { Spread } from '../report';

/** A metric over the seeds of a setting. */
export interface MetricSpread extends Spread {
  /** Sample standard deviation; null of one seed. */
  std: number | null;
  seeds: number;
}

/** One setting of a sweep: a combination of the grid's values, over its seeds. */
export interface SettingResult {
  /** Its value of each key of the grid but `seed`, as text. */
  settings: Record<string, string>;
  seeds: number[];
  /** Of the model. */
  parameters: number;
  kvBudget: number;
  kvBytesPerToken: number;
  /** By name; what a setting does not have is not there. */
  metrics: Record<string, MetricSpread>;
}

/** What `sweep.json` holds. */
export interface SweepReport {
  schema: 'mixsga/sweep@1';
  backend: string;
  corpus: string;
  /** Wall-clock time of the whole sweep. */
  seconds: number;
  /** The metric that the best setting is told by, and whether more of it is better. */
  metric: string;
  higherIsBetter: boolean;
  /** Keys of the grid but `seed`. */
  keys: string[];
  /** In the order of the grid. */
  settings: SettingResult[];
  /** Place in `settings` of the best mean of the metric; null where no setting has the metric. */
  best: number | null;
  runs: { settings: Record<string, string>; seed: number; folder: string; tokens: number; metrics: Record<string, number> }[];
}

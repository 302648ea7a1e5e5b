import type { ComparisonConfigInput } from '../comparison/config';
import type { SweepConfigInput } from '../sweep/config';
import type { RunConfigInput } from '../config/run-config';

/** A configuration that ships with the command line. */
export interface Preset {
  /** What it is, in a line. */
  about: string;
  config: RunConfigInput | ComparisonConfigInput | SweepConfigInput;
}

export type Presets = Record<string, Preset>;

/** A method of a comparison. */
export type Method = ComparisonConfigInput['methods'][number];

export type Tasks = NonNullable<ComparisonConfigInput['tasks']>;

import type { ParsedResults } from '@mixsga/evaluators';
import type { Report, SweepReport } from '@mixsga/training';

/** A file that was found, and what it holds. */
export interface Found<T> {
  readonly path: string;
  readonly content: T;
}

/** What some folders hold, each list in order of path. */
export interface Collected {
  readonly results: readonly Found<ParsedResults>[];
  readonly comparisons: readonly Found<Report>[];
  readonly sweeps: readonly Found<SweepReport>[];
  /** Files that are broken, of another version or of something else, and why. */
  readonly leftOut: readonly Found<string>[];
}

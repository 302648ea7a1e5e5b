import type { ParsedResults } from '@mixsga/evaluators';

import type { SweepReport } from '../../sweep/schema';
import type { Report } from '../schema';

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

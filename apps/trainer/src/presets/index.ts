import type { ComparisonConfigInput } from '../comparison/config';
import type { RunConfigInput } from '../training/config';
import { compareSotuLong } from './compare-sotu-long';
import { demo } from './demo';
import { sotuMini } from './sotu-mini';

/** Configurations that ship with the command line, by the name that `mixsga train` takes. */
export const presets: Readonly<Record<string, RunConfigInput | ComparisonConfigInput>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, never>, {
    'sotu-mini': sotuMini,
    'compare/sotu-long': compareSotuLong,
    demo,
  }),
);

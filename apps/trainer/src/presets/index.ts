import type { ComparisonConfigInput } from '../comparison/config';
import type { SweepConfigInput } from '../sweep/config';
import type { RunConfigInput } from '../training/config';
import { compareSotuLong } from './compare-sotu-long';
import { demo } from './demo';
import { sotuMini } from './sotu-mini';

/** A configuration that ships with the command line. */
export interface Preset {
  /** What it is, in a line. */
  about: string;
  config: RunConfigInput | ComparisonConfigInput | SweepConfigInput;
}

/** By the name that `mixsga train` takes. */
export const presets: Readonly<Record<string, Preset>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, Preset>, {
    'sotu-mini': { about: 'the shipped model, from random weights', config: sotuMini },
    demo: { about: 'eight methods on the shipped model, one seed', config: demo },
    'compare/sotu-long': { about: 'the same with three seeds and more tokens', config: compareSotuLong },
  }),
);

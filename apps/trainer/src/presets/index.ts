import { compareSotuLong } from './compare-sotu-long';
import { demo } from './demo';
import { continuedPretraining } from './paper/continued';
import { converted } from './paper/converted';
import { supervised } from './paper/supervised';
import type { Presets } from './preset';
import { sotuMini } from './sotu-mini';

/** By the name that `mixsga train` takes: `paper/…` are the paper's experiments, `laptop/…` the same in minutes. */
export const presets: Readonly<Presets> = Object.freeze(
  Object.assign(Object.create(null) as Presets, {
    'sotu-mini': { about: 'the shipped model, from random weights', config: sotuMini },
    demo: { about: 'eight methods on the shipped model, one seed', config: demo },
    'compare/sotu-long': { about: 'the same with three seeds and more tokens', config: compareSotuLong },
    ...supervised,
    ...continuedPretraining,
    ...converted,
  }),
);

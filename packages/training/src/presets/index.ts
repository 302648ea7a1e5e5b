import { compareSotuLong } from './compare-sotu-long';
import { demo } from './demo';
import { frontier } from './frontier';
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
    'frontier/sotu': { about: 'perplexity against KV bytes per token, from 6.25 % of the cache to all, three seeds', config: frontier },
    ...supervised,
    ...continuedPretraining,
    ...converted,
  }),
);

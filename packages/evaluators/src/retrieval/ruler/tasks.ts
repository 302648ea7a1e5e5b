import { commonWords } from './common-words';
import { frequentWords } from './frequent-words';
import { needles } from './niah';
import type { RulerTask } from './task';
import { variableTracking } from './variable-tracking';

/** The tasks of RULER that are made here, by their names in lm-evaluation-harness. A new one is a file of its own and a line here. */
export const rulerTasks: Readonly<Record<string, RulerTask>> = Object.fromEntries(
  [
    needles('niah_single_1', { haystack: 'noise', key: 'words', value: 'numbers' }),
    needles('niah_single_2', { haystack: 'text', key: 'words', value: 'numbers' }),
    needles('niah_single_3', { haystack: 'text', key: 'words', value: 'uuids' }),
    needles('niah_multikey_1', { haystack: 'text', key: 'words', value: 'numbers', keys: 4 }),
    needles('niah_multikey_2', { haystack: 'needles', key: 'words', value: 'numbers' }),
    needles('niah_multikey_3', { haystack: 'needles', key: 'uuids', value: 'uuids' }),
    needles('niah_multivalue', { haystack: 'text', key: 'words', value: 'numbers', valuesOfKey: 4 }),
    needles('niah_multiquery', { haystack: 'text', key: 'words', value: 'numbers', queries: 4 }),
    variableTracking,
    commonWords,
    frequentWords,
  ].map((task) => [task.name, task]),
);

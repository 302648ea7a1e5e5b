import { FileError } from '@mixsga/backend';

import { shown } from '../fields';
import { strip } from '../python-text';
import { goldAmong, multipleChoice, numbered } from './multiple-choice';

/**
 * WinoGrande (Sakaguchi et al. 2020) by partial evaluation: which of two options, filled into the blank, makes the same rest
 * of the sentence likelier. Rows: sentence with a `_`, option1, option2, answer ("1" or "2"). It has no `acc_norm`.
 */
export const winogrande = multipleChoice({
  name: 'winogrande',
  description: 'WinoGrande: which of two options fits into a sentence, by the likelihood of what comes after it',
  dataset: { repository: 'allenai/winogrande', file: 'winogrande_xl/validation-00000-of-00001.parquet' },
  normalised: false,
  question(fields, { where }) {
    const sentence = fields.text('sentence');
    const blank = sentence.indexOf('_');
    if (blank < 0) throw new FileError(where, `expected a blank _ in 'sentence', got ${shown(sentence)}`);
    const choices = [fields.text('option1'), fields.text('option2')].map((option) => sentence.slice(0, blank) + option);
    const target = strip(sentence.slice(blank + 1));
    return {
      requests: choices.map((choice) => [choice, ` ${target}`] as const),
      choices,
      gold: goldAmong(numbered(choices, 1), fields, 'answer', where),
      target,
    };
  },
});

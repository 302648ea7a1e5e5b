import { capitalize, strip } from '../python-text';
import { goldAmong, multipleChoice, numbered } from './multiple-choice';

/** HellaSwag (Zellers et al. 2019): which ending follows. Rows: activity_label, ctx_a, ctx_b, endings, label ("0" to "3"). */
export const hellaswag = multipleChoice({
  name: 'hellaswag',
  description: 'HellaSwag: which of four endings follows, accuracy plain and by length',
  dataset: { repository: 'Rowan/hellaswag', file: 'data/validation-00000-of-00001.parquet' },
  normalised: true,
  question(fields, { where }) {
    const context = `${fields.text('ctx_a')} ${capitalize(fields.text('ctx_b'))}`;
    const query = cleaned(`${fields.text('activity_label')}: ${context}`);
    const choices = fields.texts('endings').map(cleaned);
    const gold = goldAmong(numbered(choices), fields, 'label', where);
    return {
      requests: choices.map((choice) => [query, ` ${choice}`] as const),
      choices,
      gold,
      added: { query, choices, gold },
    };
  },
});

/** Without the marks that WikiHow left in the text. */
function cleaned(text: string): string {
  return strip(text)
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ');
}

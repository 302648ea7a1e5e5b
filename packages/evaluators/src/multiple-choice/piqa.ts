import { goldAmong, multipleChoice, numbered } from './multiple-choice';

/** PIQA (Bisk et al. 2020): which of two ways reaches the goal. Rows: goal, sol1, sol2, label (0 or 1). */
export const piqa = multipleChoice({
  name: 'piqa',
  description: 'PIQA: which of two ways reaches a goal, accuracy plain and by length',
  dataset: { repository: 'baber/piqa', file: 'data/validation-00000-of-00001.parquet' },
  normalised: true,
  question(fields, { where }) {
    const context = `Question: ${fields.text('goal')}\nAnswer:`;
    const choices = [fields.text('sol1'), fields.text('sol2')];
    return {
      requests: choices.map((choice) => [context, ` ${choice}`] as const),
      choices,
      gold: goldAmong(numbered(choices), fields, 'label', where),
    };
  },
});

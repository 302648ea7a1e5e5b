import { FileError } from '@mixsga/backend';

import { goldAmong, multipleChoice, type MultipleChoiceTask } from './multiple-choice';

/** Rows: question, choices: {text, label} of three to five, answerKey, one of the labels. */
const question: MultipleChoiceTask['question'] = (fields, { where }) => {
  const context = `Question: ${fields.text('question')}\nAnswer:`;
  const choices = fields.object('choices').texts('text');
  const labels = fields.object('choices').texts('label');
  if (labels.length !== choices.length) {
    throw new FileError(where, `expected a label for each of ${choices.length} choices in 'choices.label', got ${labels.length}`);
  }
  return {
    requests: choices.map((choice) => [context, ` ${choice}`] as const),
    choices,
    gold: goldAmong(labels, fields, 'answerKey', where),
  };
};

/** The easy questions of the AI2 Reasoning Challenge (Clark et al. 2018). */
export const arcEasy = multipleChoice({
  name: 'arc_easy',
  description: 'ARC-Easy: science questions with a few answers, accuracy plain and by length',
  dataset: { repository: 'allenai/ai2_arc', file: 'ARC-Easy/test-00000-of-00001.parquet' },
  normalised: true,
  question,
});

/** Those that simple methods fail. */
export const arcChallenge = multipleChoice({
  name: 'arc_challenge',
  description: 'ARC-Challenge: harder science questions with a few answers, accuracy plain and by length',
  dataset: { repository: 'allenai/ai2_arc', file: 'ARC-Challenge/test-00000-of-00001.parquet' },
  normalised: true,
  question,
});

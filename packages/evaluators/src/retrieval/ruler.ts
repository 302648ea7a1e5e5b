import { ArgumentError } from '@mixsga/backend';

import type { DataRow, EvaluationOptions, RowSources } from '../evaluator';
import type { LanguageModel } from '../language-model';
import { SPACE } from '../python-text';
import { retrievalEvaluator } from './retrieval-evaluator';
import type { RetrievalRow } from './row';
import { type RulerTask, Sizing } from './ruler/task';
import { rulerTasks } from './ruler/tasks';
import { stringMatchAll } from './score';
import { sampleSettings } from './settings';

/** Names of RULER's tasks that are made here. */
export const rulerTaskNames: readonly string[] = Object.keys(rulerTasks);

/** Samples of each task and length, where no limit is given. The harness has 500. */
const SAMPLES = 25;

/**
 * RULER (Hsieh et al., 2024): needles in a haystack, variable tracking, common and frequent words, each at each length. The samples are those that
 * lm-evaluation-harness makes of one task at one length with its own seeds and the same tokenizer. Where it cuts haystacks from essays that it
 * downloads, ours are cut from another text, which results name.
 */
export const ruler = retrievalEvaluator({
  name: 'ruler',
  description: 'what is found in a long context: needles, chains of variables, common and frequent words',
  definition: 'lm-evaluation-harness 0.4.13: ruler, without qa; essays are another text',
  makeRows: rulerRows,
  readsText: true,
  caseOf: ({ task, maxLength }) => `${task} ${maxLength}`,
  score: stringMatchAll,
});

async function rulerRows(model: LanguageModel, options: EvaluationOptions, sources: RowSources): Promise<DataRow[]> {
  const { lengths, samples, seed } = sampleSettings('ruler', model, options, SAMPLES);
  const tasks = tasksOf(options);
  const { name = '', text = '' } = tasks.some(({ haystack }) => haystack === 'text') ? await sources.text() : {};
  const words = text.replace(new RegExp(`${SPACE}+`, 'g'), ' ').trim().split(' ');
  const count = (prompt: string) => model.tokenizer.encode(prompt).length;
  const rows: DataRow[] = [];
  for (const task of tasks) {
    for (const length of lengths) {
      options.signal?.throwIfAborted();
      const sizing = new Sizing({ length, seed, words, count, signal: options.signal });
      const from = rows.length;
      for await (const { tokens, ...prompt } of task.samples(sizing)) {
        const value: RetrievalRow = {
          task: task.name, haystack: haystackOf(task, name), ...prompt, length: tokens, maxLength: length, maxNewTokens: task.maxNewTokens,
        };
        rows.push({ value, where: `ruler: ${task.name} of ${length} tokens, sample ${prompt.index + 1}` });
        sources.onRow?.(rows.length, tasks.length * lengths.length * samples);
        if (rows.length - from === samples) break;
      }
    }
  }
  return rows;
}

function haystackOf({ haystack }: RulerTask, text: string): string {
  return haystack === 'text' ? text : haystack;
}

function tasksOf({ retrieval: { tasks: names = rulerTaskNames } = {} }: EvaluationOptions): RulerTask[] {
  if (names.length === 0 || new Set(names).size < names.length) {
    throw new ArgumentError(`ruler: expected 1 or more different tasks, got [${names.join(', ')}]`);
  }
  return names.map((name) => {
    const task = Object.hasOwn(rulerTasks, name) ? rulerTasks[name] : undefined;
    if (task) return task;
    throw new ArgumentError(`ruler: expected tasks among ${rulerTaskNames.join(', ')}, got ${name}`);
  });
}

import type { Summary } from '../evaluator';
import { mean, standardError } from '../statistics';
import type { RetrievalSample } from './sample';

/** The mean score of the samples of a task that have the same length and, to a tenth, the same depth. */
export interface RetrievalScore {
  readonly task: string;
  readonly length: number;
  /** From 0 to 1; null where answers are in no single place. */
  readonly depth: number | null;
  readonly score: number;
  readonly samples: number;
}

/** Metrics are unweighted means over tasks, of each length and over the lengths, from 0 to 1; details have them by task, length and depth. */
export function summaryOf(samples: readonly RetrievalSample[], settings: Readonly<Record<string, unknown>>): Summary {
  const lengths = [...new Set(samples.map(({ max_length }) => max_length))].sort((a, b) => a - b);
  const tasks = [...new Set(samples.map(({ task }) => task))];
  const byLength = lengths.map((length) => {
    const ofLength = samples.filter(({ max_length }) => max_length === length);
    return meanOfTasks(tasks.map((task) => ofLength.filter((sample) => sample.task === task)).filter((some) => some.length > 0));
  });
  const all = meanOfMeans(byLength);
  return {
    metrics: {
      score: all.value,
      score_stderr: all.stderr,
      ...Object.fromEntries(lengths.flatMap((length, i) => [[`score_${length}`, byLength[i]!.value], [`score_${length}_stderr`, byLength[i]!.stderr]])),
    },
    details: {
      samples: samples.length,
      lengths,
      haystacks: Object.fromEntries(samples.map(({ task, haystack }) => [task, haystack])),
      scores: scoresOf(samples),
      promptsCut: samples.filter(({ prompt_cut }) => prompt_cut).length,
      ...settings,
    },
  };
}

interface Estimate {
  readonly value: number;
  /** Standard error; null where there is none. */
  readonly stderr: number | null;
}

function meanOfTasks(tasks: readonly (readonly RetrievalSample[])[]): Estimate {
  return meanOfMeans(tasks.map((samples) => {
    const scores = samples.map(({ score }) => score);
    return { value: mean(scores), stderr: standardError(scores) };
  }));
}

/** The unweighted mean of independent means. */
function meanOfMeans(means: readonly Estimate[]): Estimate {
  const errors = means.flatMap(({ stderr }) => stderr ?? []);
  const isKnown = errors.length === means.length;
  return { value: mean(means.map(({ value }) => value)), stderr: isKnown ? Math.hypot(...errors) / means.length : null };
}

function scoresOf(samples: readonly RetrievalSample[]): RetrievalScore[] {
  const cells = new Map<string, { cell: Pick<RetrievalScore, 'task' | 'length' | 'depth'>; scores: number[] }>();
  for (const { task, max_length: length, depth: exact, score } of samples) {
    const cell = { task, length, depth: exact === null ? null : Math.round(10 * exact) / 10 };
    const key = JSON.stringify(cell);
    const known = cells.get(key);
    if (known) known.scores.push(score);
    else cells.set(key, { cell, scores: [score] });
  }
  return [...cells.values()].map(({ cell, scores }) => ({ ...cell, score: mean(scores), samples: scores.length }));
}

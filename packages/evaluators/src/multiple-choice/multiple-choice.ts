import { ArgumentError, FileError } from '@mixsga/backend';

import { type DataRow, defineEvaluator, type Evaluator, type PublishedDataset } from '../evaluator';
import { type Fields, fieldsOf, shown } from '../fields';
import { harnessSample, type HarnessSample, printedScore } from '../harness/sample';
import type { LanguageModel } from '../language-model';
import { continuationWindow, scoreWindows } from '../log-likelihood';
import { codePoints } from '../python-text';
import { mean, standardError } from '../statistics';
import type { TextWindow } from '../windows';

/** A question with its possible answers. */
export interface Question {
  /** Context and continuation of each choice. */
  readonly requests: readonly (readonly [context: string, continuation: string])[];
  /** The text of each choice, whose length `acc_norm` divides by. */
  readonly choices: readonly string[];
  /** Number of the right choice. */
  readonly gold: number;
  /** The right answer as the harness writes it. Default: its number. */
  readonly target?: string;
  /** Fields that the task adds to the row. */
  readonly added?: Readonly<Record<string, unknown>>;
}

export interface MultipleChoiceSample extends HarnessSample {
  readonly acc: number;
  readonly acc_norm?: number;
}

export interface Item {
  readonly id: number;
  readonly doc: unknown;
  readonly where: string;
  readonly question: Question;
}

/** A task of questions with a few possible answers. */
export interface MultipleChoiceTask {
  readonly name: string;
  readonly description: string;
  readonly dataset: PublishedDataset;
  /** Whether it has `acc_norm`. */
  readonly normalised: boolean;
  /** @throws FileError for a row that is none of this task */
  question(fields: Fields, row: DataRow): Question;
}

/**
 * An evaluator by the rules of lm-evaluation-harness 0.4.13: `acc` takes the choice of the largest log-likelihood,
 * `acc_norm` that of the largest log-likelihood over the choice's length in Unicode code points; the first of equal ones. Zero-shot.
 */
export function multipleChoice({ name, description, dataset, normalised, question }: MultipleChoiceTask): Evaluator<Item, MultipleChoiceSample> {
  const metrics = normalised ? (['acc', 'acc_norm'] as const) : (['acc'] as const);
  return defineEvaluator<Item, MultipleChoiceSample>({
    name,
    description,
    definition: `lm-evaluation-harness 0.4.13: ${name}`,
    version: 1,
    reads: 'rows',
    dataset,
    higherIsBetter: metrics,
    items: (_model, { rows }, { limit }) =>
      rows!.slice(0, limit).map((row, id) => {
        const fields = fieldsOf(row);
        const asked = question(fields, row);
        return { id, doc: { ...fields.all, ...asked.added }, where: row.where, question: asked };
      }),
    check: (model, item) => void windowsOf(model, item),
    async measure(model, items, options) {
      const windows = items.map((item) => windowsOf(model, item));
      const scores = await scoreWindows(model, windows.flat(), options);
      return Promise.all(
        items.map(async ({ id, doc, question: { requests, choices, gold, target = String(gold) } }) => {
          const own = scores.splice(0, choices.length);
          const chosen = largest(own.map(({ logLikelihood }) => logLikelihood));
          const chosenNorm = largest(own.map(({ logLikelihood }, i) => logLikelihood / codePoints(choices[i]!)));
          return {
            ...(await harnessSample(id, doc, target, requests, own.map(printedScore), metrics)),
            acc: Number(chosen === gold),
            ...(normalised && { acc_norm: Number(chosenNorm === gold) }),
          };
        }),
      );
    },
    summarise(samples, _model, { routing }) {
      const values = (metric: 'acc' | 'acc_norm') => samples.map((sample) => sample[metric]!);
      return {
        metrics: Object.fromEntries(
          metrics.flatMap((metric) => [
            [metric, mean(values(metric))],
            [`${metric}_stderr`, standardError(values(metric))],
          ]),
        ),
        details: { questions: samples.length, routing },
      };
    },
  });
}

/**
 * The number of the right choice.
 * @param names of the choices, in order
 * @throws FileError when it is none of them
 */
export function goldAmong(names: readonly string[], { all }: Fields, field: string, where: string): number {
  const value = all[field];
  const gold = names.indexOf(typeof value === 'bigint' || typeof value === 'number' ? String(value) : (value as string));
  if (gold >= 0) return gold;
  throw new FileError(where, `expected '${field}' to be the right one of the choices ${names.join(', ')}, got ${shown(value)}`);
}

/** "0", "1" and so on. */
export function numbered(choices: readonly string[], first = 0): string[] {
  return choices.map((_, i) => String(first + i));
}

function windowsOf(model: LanguageModel, { where, question }: Item): TextWindow[] {
  try {
    return question.requests.map(([context, continuation]) => continuationWindow(model, context, continuation, where));
  } catch (error) {
    if (!ArgumentError.isInstance(error)) throw error;
    throw new FileError(where, error.message, { cause: error });
  }
}

/** Where the first of the largest values is. */
function largest(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}

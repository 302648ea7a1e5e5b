import { FileError } from '@mixsga/backend';

import type { DataRow } from '../evaluator';
import { fieldsOf, shown } from '../fields';

/**
 * A question about a long context. Context, question and answer prefix follow each other without anything between them; the model goes on
 * after the prefix.
 */
export interface RetrievalPrompt {
  /** All that comes before the question: instructions, examples and the haystack. */
  readonly context: string;
  readonly question: string;
  /** The beginning of the answer, with the white space that parts it from the question. */
  readonly answerPrefix: string;
  /** What an answer has to hold. */
  readonly answers: readonly string[];
  /** Where in the haystack the answer is, from 0 to 1; null where that is no single place. */
  readonly depth: number | null;
}

/** A prompt made for a length, as a row of a synthetic data set. */
export interface RetrievalRow extends RetrievalPrompt {
  readonly task: string;
  /** What the answer is hidden in: `noise`, `needles`, `words`, or the name of a text. */
  readonly haystack: string;
  /** Number of the sample among those of its task, length and, where depths are given, depth. */
  readonly index: number;
  /** Tokens of prompt and answer, as the definition of the task counts them. */
  readonly length: number;
  /** The length that was asked for. */
  readonly maxLength: number;
  /** Tokens that are generated. */
  readonly maxNewTokens: number;
}

/** What a model is given, in one text. */
export function promptText({ context, question, answerPrefix }: RetrievalPrompt): string {
  return context + question + answerPrefix;
}

/** @throws FileError that names the row and the field */
export function parseRetrievalRow(row: DataRow): RetrievalRow {
  const fields = fieldsOf(row);
  const refuse = (name: string, expected: string) => new FileError(row.where, `expected ${expected} in '${name}', got ${shown(fields.all[name])}`);
  const whole = (name: string, least: number) => {
    const value = fields.all[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    throw refuse(name, `a whole number from ${least} on`);
  };
  const depth = fields.all.depth ?? null;
  if (depth !== null && !(typeof depth === 'number' && depth >= 0 && depth <= 1)) throw refuse('depth', 'a number from 0 to 1, or null');
  return {
    task: fields.text('task'),
    haystack: fields.text('haystack'),
    index: whole('index', 0),
    context: fields.text('context'),
    question: fields.text('question'),
    answerPrefix: fields.text('answerPrefix'),
    answers: fields.texts('answers'),
    depth,
    length: whole('length', 1),
    maxLength: whole('maxLength', 1),
    maxNewTokens: whole('maxNewTokens', 1),
  };
}

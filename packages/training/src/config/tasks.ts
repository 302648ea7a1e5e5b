import { ArgumentError, kvTypes } from '@mixsga/backend';
import { evaluatorNames } from '@mixsga/evaluators';
import { cacheOfFields } from '@mixsga/kv-cache';
import { z } from 'zod';

import { oneOf } from './strict';

const count = z.number().int().positive();

/** Something to measure of a finished run. */
const task = z.strictObject({
  /** An evaluator of @mixsga/evaluators' catalog. */
  task: oneOf(evaluatorNames),
  /** Name in results, where an evaluator comes more than once. Default: the evaluator's. */
  name: z.string().regex(/^[^./\\]+$/, 'expected a name without dots and slashes').optional(),
  /**
   * What to measure on: a text, or the rows of a data set; `run` for the instructions that the run kept out of training. Default: the
   * run's corpus, or the set that the task is published with.
   */
  data: z.string().optional(),
  /** Which of the files of a folder or data set: a file, a folder or a pattern with `*`. */
  files: z.string().optional(),
  split: z.enum(['validation', 'test']).optional(),
  routing: z.enum(['decode', 'prefill']).default('decode'),
  /** Measures this many items of a data set, the first ones. */
  limit: count.optional(),
  /** Measures this many windows of a text, spread evenly over it. */
  maxWindows: count.optional(),
  windowLength: count.optional(),
  stride: count.optional(),
  batchSize: count.optional(),
  /** What keeps the KV cache small: a policy that evicts, such as `h2o:0.6`, */
  eviction: z.string().optional(),
  /** or the bytes that the cache of a sequence may hold, and the policy by which its tokens are compressed further. */
  kvBudget: count.optional(),
  kvPolicy: z.string().optional(),
  /** Element type of keys and values in the KV cache; with int8, perplexity goes through one. Default: f32. */
  kv: z.enum(kvTypes).optional(),
  /** How evaluators of instructions generate. */
  generation: z
    .strictObject({
      seeds: z.array(z.number().int().nonnegative()).min(1),
      temperature: z.number().nonnegative(),
      topP: z.number().positive().max(1),
      topK: count,
      maxNewTokens: count,
      noRepeatNgramSize: count,
    })
    .partial()
    .optional(),
  /** What samples of retrieval are made by. */
  retrieval: z
    .strictObject({
      lengths: z.array(count).min(1),
      tasks: z.array(z.string()).min(1),
      depths: count,
      seed: z.number().int().nonnegative(),
    })
    .partial()
    .optional(),
}).superRefine(({ eviction, kvBudget, kvPolicy }, context) => {
  try {
    cacheOfFields({ eviction, kvBudget, kvPolicy });
  } catch (error) {
    if (!ArgumentError.isInstance(error)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

/** What to measure of a run once it is trained. */
export const tasksConfig = z
  .array(task)
  .refine((tasks) => new Set(tasks.map(taskName)).size === tasks.length, 'expected names that differ; give tasks of one evaluator a name each');

export type Task = z.output<typeof task>;

/** The name of a task in results. */
export function taskName({ name, task }: Pick<Task, 'name' | 'task'>): string {
  return name ?? task;
}

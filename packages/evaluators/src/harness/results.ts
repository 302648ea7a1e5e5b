import type { KvTraits } from '@mixsga/backend';
import { fieldsOfCache } from '@mixsga/kv-cache';

import { type EvaluationOptions, type Evaluator, isHigherBetter, type Summary } from '../evaluator';
import { type HarnessSample, sha256 } from './sample';

/** Of the key `mixsga`. Another number means that old files are not read. */
export const RESULTS_SCHEMA = 'mixsga/results@1';

/** What was measured of a model, and how. */
export interface MeasuredModel {
  /** Name, id or folder. */
  readonly model: string;
  /** Attention variant, such as `mixsga:3:1:6`. */
  readonly attention: string;
  /** Kind of its routers; undefined where tokens are not routed. */
  readonly router: string | undefined;
  readonly backend: string;
  /** Element type of the weights. */
  readonly weights: string;
  readonly kv: KvTraits;
  readonly contextLength: number;
  readonly tasks: readonly MeasuredTask[];
}

export interface MeasuredTask extends Summary {
  /** Name in the results. */
  readonly name: string;
  readonly evaluator: Evaluator;
  /** Name of the text or the data set. */
  readonly data: string;
  /** Documents that there were, before `limit` or `maxWindows`. Default: those that were measured. */
  readonly available?: number;
  readonly options: EvaluationOptions;
  readonly samples: readonly object[];
}

/** When a run began, and how long it took. */
export interface RunTime {
  readonly startedAt: Date;
  readonly seconds: number;
}

/** The object of a results file. Its keys are those of lm-evaluation-harness 0.4.13; `mixsga` holds what it has no place for. */
export interface HarnessResults {
  readonly results: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
  readonly group_subtasks: Readonly<Record<string, string[]>>;
  readonly configs: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly versions: Readonly<Record<string, number>>;
  readonly 'n-shot': Readonly<Record<string, number>>;
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  readonly 'n-samples': Readonly<Record<string, { readonly original: number; readonly effective: number }>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly git_hash: null;
  /** Seconds since 1970. */
  readonly date: number;
  readonly max_length: number;
  readonly task_hashes: Readonly<Record<string, string>>;
  readonly model_source: 'mixsga';
  readonly model_name: string;
  readonly model_name_sanitized: string;
  readonly system_instruction: null;
  readonly system_instruction_sha: null;
  readonly fewshot_as_multiturn: false;
  readonly chat_template: null;
  readonly chat_template_sha: null;
  readonly total_evaluation_time_seconds: string;
  readonly mixsga: MixsgaResults;
}

export interface MixsgaResults {
  readonly schema: typeof RESULTS_SCHEMA;
  readonly attention: string;
  readonly router?: string;
  readonly backend: string;
  readonly weights: string;
  readonly kv: KvTraits;
  readonly tasks: Readonly<Record<string, MixsgaTask>>;
}

export interface MixsgaTask {
  /** Name of the evaluator. */
  readonly evaluator: string;
  readonly definition: string;
  readonly data: string;
  /** Without those that do not change numbers or are secret. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What lm-evaluation-harness would write of a run. Standard errors that nobody computes are "N/A", as there. */
export async function harnessResults(measured: MeasuredModel, { startedAt, seconds }: RunTime): Promise<HarnessResults> {
  const { model, attention, router, backend, weights, kv, contextLength, tasks } = measured;
  const byTask = <T>(value: (task: MeasuredTask) => T) => Object.fromEntries(tasks.map((task) => [task.name, value(task)]));
  const options = tasks[0]?.options;
  return {
    results: byTask(resultsOf),
    group_subtasks: {},
    configs: byTask(({ name, data, evaluator }) => ({
      task: name,
      dataset_path: data,
      description: '',
      num_fewshot: 0,
      metadata: { version: evaluator.version },
    })),
    versions: byTask(({ evaluator }) => evaluator.version),
    'n-shot': byTask(() => 0),
    higher_is_better: byTask(({ evaluator, metrics }) =>
      Object.fromEntries(namesOf(metrics).map((name) => [name, isHigherBetter(evaluator, name)])),
    ),
    'n-samples': byTask(({ samples, available }) => {
      const effective = documents(samples);
      return { original: available ?? effective, effective };
    }),
    config: {
      model: 'mixsga',
      model_args: `pretrained=${model},attention=${attention}${router === undefined ? '' : `,router=${router}`},weights=${weights}${kv.type === 'int8' ? ',kv=int8' : ''}`,
      model_dtype: weights,
      batch_size: options?.batchSize ?? null,
      device: backend,
      limit: options?.limit ?? null,
    },
    git_hash: null,
    date: startedAt.getTime() / 1000,
    max_length: contextLength,
    task_hashes: await taskHashes(tasks),
    model_source: 'mixsga',
    model_name: model,
    model_name_sanitized: model.replace(/["<>:/|\\?*[\]]+/g, '__'),
    system_instruction: null,
    system_instruction_sha: null,
    fewshot_as_multiturn: false,
    chat_template: null,
    chat_template_sha: null,
    total_evaluation_time_seconds: String(seconds),
    mixsga: {
      schema: RESULTS_SCHEMA,
      attention,
      ...(router !== undefined && { router }),
      backend,
      weights,
      kv,
      tasks: byTask(({ evaluator, data, options, details }) => ({
        evaluator: evaluator.name,
        definition: evaluator.definition,
        data,
        options: publicOptions(options),
        details,
      })),
    },
  };
}

/** `results_2026-01-31T12-00-00.000000.json` */
export function resultsFileName(startedAt: Date): string {
  return `results_${fileTime(startedAt)}.json`;
}

/** `samples_wikitext_2026-01-31T12-00-00.000000.jsonl` */
export function samplesFileName(task: string, startedAt: Date): string {
  return `samples_${task}_${fileTime(startedAt)}.jsonl`;
}

/** ISO time with microseconds, as Python's `datetime.isoformat`, in UTC, `:` as `-`. */
function fileTime(time: Date): string {
  return time.toISOString().replace('Z', '000').replaceAll(':', '-');
}

const STDERR = '_stderr';

/** Metrics that are not the standard error of another. */
function namesOf(metrics: Summary['metrics']): string[] {
  return Object.keys(metrics).filter((name) => !name.endsWith(STDERR));
}

function resultsOf({ name, metrics, samples }: MeasuredTask): Record<string, string | number> {
  const values = namesOf(metrics).flatMap((metric) => [
    [`${metric},none`, metrics[metric] ?? 'N/A'],
    [`${metric}${STDERR},none`, metrics[metric + STDERR] ?? 'N/A'],
  ]);
  return { name, alias: name, sample_len: documents(samples), ...(Object.fromEntries(values) as Record<string, string | number>) };
}

/** How many documents there are samples of; a sample that names no document is one of its own. */
function documents(samples: readonly object[]): number {
  return new Set(samples.map((sample, i) => ('doc_id' in sample ? sample.doc_id : `sample ${i}`))).size;
}

/** For each task of the harness's layout, a hash over the hashes of its samples. */
async function taskHashes(tasks: readonly MeasuredTask[]): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const { name, samples } of tasks) {
    const lines = samples as readonly Partial<HarnessSample>[];
    if (!lines.every(({ doc_hash, prompt_hash, target_hash }) => doc_hash && prompt_hash && target_hash)) continue;
    const hash = await sha256(lines.map(({ doc_hash, prompt_hash, target_hash }) => `${doc_hash}${prompt_hash}${target_hash}`).join(''));
    if (hash !== null) hashes[name] = hash;
  }
  return hashes;
}

function publicOptions({ signal: _signal, batchSize: _batchSize, judge, cache, ...others }: EvaluationOptions): Record<string, unknown> {
  const options = { ...others, ...fieldsOfCache(cache) };
  if (!judge) return options;
  const { apiKey: _apiKey, ...endpoint } = judge;
  return { ...options, judge: endpoint };
}

import { type BackendName, expectOptions, type KvType, startBackend, type WeightType } from '@mixsga/backend';
import {
  checkJudge,
  DEFAULT_BATCH_SIZE,
  type EvaluationOptions,
  type Evaluator,
  evaluatorNamed,
  type LanguageModel,
  type MeasuredModel,
  type MeasuredTask,
  type RowSources,
  runEvaluator,
} from '@mixsga/evaluators';
import { fieldsOfCache } from '@mixsga/kv-cache';
import { fromPretrained, languageModel, routerOf, type Workload } from '@mixsga/models';

import { downloadProgress } from '../progress/download-progress';
import { endable } from '../process/interruption';
import { ifSlow } from '../progress/progress';
import type { ProgressLine } from '../progress/progress-line';
import { type DataChoice, makeTaskRows, readTaskRows, readTaskTokens, rowsData, type TaskData, usableRows } from './data';
import { paceText } from '../progress/pace';
import { SampleFile, sampleFilePath } from './sample-file';

/** Something to measure of a model. */
export interface EvaluationTask extends DataChoice {
  /** Name of the evaluator. */
  readonly task: string;
  /** Name in results. Default: the evaluator's. */
  readonly name?: string | undefined;
  /** With `judge`, what the model answers to instructions is rated too, as the task `NAME_judge`. */
  readonly options: Omit<EvaluationOptions, 'signal'>;
}

export interface EvaluateModelOptions {
  /** Default wasm. */
  readonly backend?: BackendName | 'auto' | undefined;
  /** Another attention variant than the model's own, converted to in memory. */
  readonly attention?: string | undefined;
  /** Kind of the routers that this gives a model. Default `sigmoid`. */
  readonly router?: string | undefined;
  /** Element type of the packed weights. Default f32. */
  readonly weights?: WeightType | undefined;
  /** Element type of the KV cache. Default f32. */
  readonly kv?: KvType | undefined;
  /** Leaves out broken rows of data sets in place of failing. */
  readonly skipBroken?: boolean | undefined;
  /** Keeps the samples of each task in a file of this folder, and resumes from those that it holds. Default: keeps none. */
  readonly unfinished?: { readonly folder: string; readonly resume: boolean } | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Shows how far downloads and tasks are. */
  readonly line?: Pick<ProgressLine, 'show' | 'log'> | undefined;
}

/** A task with all that it needs. */
interface Prepared extends TaskData {
  readonly name: string;
  readonly evaluator: Evaluator;
  readonly options: EvaluationTask['options'];
}

/**
 * Opens a model of any family once, measures each task on its data, and lets the model go. Data sets are read before the model is
 * opened, and every task is prepared before the first is measured, so that what is wrong is said soon.
 *
 * @param model a folder, the name of a shipped model, or an id of the hub
 * @throws ArgumentError for an unknown task or an option out of range; FileError when model or data cannot be had or are broken;
 *   BackendError; the signal's reason. Finished samples stay in `unfinished`
 */
export async function evaluateModel(model: string, tasks: readonly EvaluationTask[], options: EvaluateModelOptions = {}): Promise<MeasuredModel> {
  expectOptions('evaluateModel', options, {
    backend: true, attention: true, router: true, weights: true, kv: true, skipBroken: true, unfinished: { folder: true, resume: true }, signal: true, line: true,
  });
  const { attention, router, weights = 'f32', kv = 'f32', skipBroken, unfinished, signal, line } = options;
  const onDownload = line && downloadProgress(line);
  const reading = { skipBroken, onMessage: (text: string) => line?.log(text), signal, onDownload };
  const rows: (TaskData | null)[] = [];
  for (const task of tasks) {
    const evaluator = evaluatorNamed(task.task);
    rows.push(evaluator.reads === 'rows' && !evaluator.makeRows ? await readTaskRows(evaluator, task, reading) : null);
  }
  const { name: backend } = await startBackend(options.backend ?? 'wasm');
  const workload = ({ contextLength }: { contextLength: number }) => tasks.flatMap((task) => workloadOf(task, contextLength) ?? []);
  const pretrained = await fromPretrained(model, { attention, router, weights, kv, workload, signal, progress: onDownload });
  const { decoder, tokenizer } = pretrained;
  const stores = new Map<Prepared, SampleFile<object>>();
  try {
    const measured: LanguageModel = languageModel(pretrained);
    const prepare = (task: Prepared): Prepared => {
      endable(() => task.evaluator.items(measured, task.data, task.options));
      if (unfinished) stores.set(task, openStore(task, unfinished, { model: decoder.fingerprint, weights, kv, backend }));
      return task;
    };
    const measure = async (task: Prepared): Promise<MeasuredTask> => {
      const { name, evaluator, data, split } = task;
      const pace = paceText();
      const store = stores.get(task);
      const evaluation = await runEvaluator(evaluator, measured, data, {
        ...task.options,
        ...(store && { store }),
        ...(signal && { signal }),
        onProgress: (progress) => line?.show(`${name}: ${pace(progress)}`),
      });
      const measuredWith = { ...task.options, split };
      return { ...evaluation, name, evaluator, data: data.name, options: measuredWith };
    };
    const prepared: Prepared[] = [];
    for (const [i, task] of tasks.entries()) {
      const { judge, ...own } = task.options;
      const evaluator = evaluatorNamed(task.task);
      const name = task.name ?? task.task;
      const show = ifSlow((text) => line?.show(text));
      const onEncoding = (done: number) => show(`${name}: encoding ${Math.floor(100 * done)} %`);
      const onRow: RowSources['onRow'] = (made, of) => show(`${name}: ${made} of ${of} samples made`);
      const taken = evaluator === JUDGE ? task.options : own;
      const all = rows[i] ?? (evaluator.makeRows
        ? await makeTaskRows(evaluator, task, measured, { ...taken, ...(signal && { signal }) }, { ...reading, onRow })
        : await readTaskTokens(name, task, measured, tokenizer, { ...reading, onEncoding }));
      const data = skipBroken && rows[i] ? await usableRows(evaluator, measured, all, taken, reading) : all;
      if (judge) JUDGE.items(measured, { name: 'settings', rows: [] }, task.options);
      prepared.push(prepare({ ...data, name, evaluator, options: taken }));
    }
    // Answers take hours: a judge that gives none is found out before.
    const judges = tasks.flatMap(({ options: { judge } }) => judge ?? []);
    for (const [i, judge] of judges.entries()) if (!judges.slice(0, i).some(({ url, model }) => url === judge.url && model === judge.model)) await checkJudge(judge, signal);
    const results: MeasuredTask[] = [];
    for (const task of prepared) results.push(await measure(task));
    for (const [i, { options: { judge, batchSize } }] of tasks.entries()) {
      const { name, samples } = results[i]!;
      if (judge === undefined || !samples.every((sample) => 'prediction' in sample)) continue;
      const answers = samples.map((value, row) => ({ value, where: `${name}: sample ${row + 1}` }));
      results.push(await measure(prepare({ ...(await rowsData(name, answers, prepared[i]!.split)), name: `${name}_judge`, evaluator: JUDGE, options: { routing: 'decode', judge, batchSize } })));
    }
    return { model, attention: decoder.attention, router: routerOf(pretrained.config), backend, weights, kv: measured.kv, contextLength: measured.contextLength, tasks: results };
  } finally {
    for (const store of stores.values()) store.close();
    decoder.dispose();
  }
}

/** What is known of a task before its text is read: windows of a text, of which one that is not our own may have less, and answers. */
function workloadOf({ task, data, options }: EvaluationTask, contextLength: number): Workload | null {
  const { windowLength, batchSize: sequences = DEFAULT_BATCH_SIZE, cache, generation, retrieval } = options;
  if (evaluatorNamed(task).makeRows) {
    const tokens = Math.min(contextLength, Math.max(...(retrieval?.lengths ?? [4096])));
    return { sequences, passTokens: tokens, cachedTokens: tokens, cache };
  }
  if (evaluatorNamed(task).reads === 'rows') return generation?.maxNewTokens ? { sequences, cachedTokens: generation.maxNewTokens } : null;
  const tokens = windowLength ?? (data === undefined || data === 'sotu' ? contextLength : null);
  if (tokens === null) return null;
  // Token by token through caches, or a window at a time without one.
  return cache === undefined ? { passTokens: tokens } : { sequences, cachedTokens: tokens, cache };
}

const JUDGE = evaluatorNamed('judge');

function openStore(
  { name, evaluator, fingerprint, options }: Prepared,
  { folder, resume }: NonNullable<EvaluateModelOptions['unfinished']>,
  settings: Readonly<Record<string, unknown>>,
): SampleFile<object> {
  // What numbers depend on, without what is secret.
  const { batchSize: _, judge, cache, ...counting } = options;
  const asked = judge && { url: judge.url, model: judge.model, temperature: judge.temperature };
  const header = { task: name, version: evaluator.version, settings: { ...settings, data: fingerprint, options: { ...counting, ...fieldsOfCache(cache), judge: asked } } };
  return new SampleFile(sampleFilePath(folder, name), header, resume);
}

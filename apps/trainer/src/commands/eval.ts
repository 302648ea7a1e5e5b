import { join } from 'node:path';

import { ArgumentError, type BackendName, type KvType, type WeightType, weightTypes } from '@mixsga/backend';
import { type EvaluationOptions, evaluatorNamed, evaluatorNames, type MeasuredModel, type MeasuredTask, type Routing, rulerTaskNames } from '@mixsga/evaluators';
import { fieldsOfCache } from '@mixsga/kv-cache';
import { environmentFetch } from '@mixsga/models';
import { routerNames } from '@mixsga/router';
import { checkOutputFile, evaluateModel, type EvaluationTask, Interrupted, ProgressLine, UNFINISHED, withInterruption, withOutputFolder, writeOutputFile, writeResults } from '@mixsga/training/node';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { budgetOption, evictionOption, kvOption, type LimitOptions, limitOf, policyOption, positiveInteger, print, printJson } from './options';

const DEFAULT_TASKS = 'perplexity,kv_accounting,routing';

interface EvalOptions extends LimitOptions {
  tasks: string;
  routing: Routing;
  split?: 'validation' | 'test' | 'all';
  data: string[];
  backend: string;
  attention?: string;
  router?: string;
  weights: WeightType;
  kv: KvType;
  limit?: number;
  maxWindows?: number;
  windowLength?: number;
  stride?: number;
  batchSize?: number;
  seeds?: number[];
  temperature?: number;
  topK?: number;
  topP?: number;
  maxNewTokens?: number;
  noRepeatNgramSize?: number;
  lengths?: number[];
  rulerTasks?: string[];
  depths?: number;
  seed?: number;
  judge?: string;
  judgeModel?: string;
  skipBroken: boolean;
  out?: string;
  resume: boolean;
  json?: string | true;
}

export function registerEval(program: Command): void {
  const noRepeat = new Option('--no-repeat-ngram-size <n>', 'instructions: no sequence of this length comes twice').argParser(positiveInteger);
  noRepeat.negate = false; // its name begins with "no" as that of Hugging Face's option does
  program
    .command('eval')
    .description('Measure a model: on a text, on questions, on instructions.')
    .argument('<model>', 'a folder, the name of a shipped model, or an id of the hub such as facebook/opt-125m, which is fetched once')
    .option('--tasks <names>', `what to measure, separated by commas: ${evaluatorNames().join(', ')}`, DEFAULT_TASKS)
    .addOption(new Option('--routing <rule>', 'how tokens get their expert').choices(['decode', 'prefill']).default('decode'))
    .addOption(
      new Option(
        '--data <[TASK=]DATA>',
        'the text: sotu, a file or folder of text, JSON Lines or Parquet, or a data set of the hub; with a task the text or the rows of that task; repeatable',
      )
        .argParser((value: string, previous: string[]) => [...previous, value])
        .default([], 'sotu, and the published data set of each task'),
    )
    .addOption(new Option('--split <part>', 'part of the text').choices(['validation', 'test', 'all']).default(undefined, 'all of a text of your own, else validation'))
    .option('--skip-broken', 'leave out rows that cannot be read or measured, and count them', false)
    .option('--limit <n>', 'measure the first n rows of each data set; of ruler and passkey n samples of each task, length and depth (default there: 25 and 5)', positiveInteger)
    .option('--max-windows <n>', 'measure only n windows of the text, spread evenly over it', positiveInteger)
    .option('--window-length <n>', "predictions in a window (default: the model's context length)", positiveInteger)
    .option('--stride <n>', 'tokens between two windows (default: the window length)', positiveInteger)
    .option('--batch-size <n>', 'items that are measured together (default: 8)', positiveInteger)
    .option('--backend <name>', 'wasm, cpu, webgpu, cuda, or auto', 'wasm')
    .option('--attention <spec>', 'convert a model with plain attention in memory: gqa:2, cla:2, mixsga:3:1:6')
    .addOption(new Option('--router <kind>', 'with --attention: router of a variant with experts').choices(routerNames()).default(undefined, 'sigmoid'))
    .addOption(new Option('--weights <type>', 'element type of the packed weights').choices(weightTypes).default('f32'))
    .addOption(kvOption())
    .addOption(evictionOption('token by token through a KV cache that evicts'))
    .addOption(budgetOption())
    .addOption(policyOption())
    .option('--seeds <list>', 'instructions: seeds of the answers, separated by commas (default: 10,20,30,40,50)', integers)
    .option('--temperature <x>', 'instructions: 0 takes the likeliest token (default: 1)', number)
    .option('--top-k <n>', 'instructions: draw among the n likeliest tokens only', positiveInteger)
    .option('--top-p <x>', 'instructions: draw among the likeliest tokens that reach this probability only', number)
    .option('--max-new-tokens <n>', 'instructions: longest answer (default: 256)', positiveInteger)
    .addOption(noRepeat)
    .option('--lengths <list>', "ruler, passkey: tokens of prompt and answer, separated by commas (default: 4096, or the model's context length)", integers)
    .option('--ruler-tasks <names>', `ruler: tasks, separated by commas (default: ${rulerTaskNames.join(',')})`, (text: string) => text.split(',').map((name) => name.trim()))
    .option('--depths <n>', 'passkey: places of the key, from the beginning to the end (default: 11)', positiveInteger)
    .option('--seed <n>', 'ruler, passkey: of the samples (default: the seeds of lm-evaluation-harness)', number)
    .option('--judge <url>', 'rate the answers to instructions by a chat model of this OpenAI-compatible API, such as http://localhost:8080/v1; OPENAI_API_KEY is its key')
    .option('--judge-model <name>', 'name of that chat model')
    .option('--out <folder>', 'write results and samples there, as lm-evaluation-harness does')
    .option('--resume', 'go on from the samples that an unfinished run left in --out', false)
    .option('--json [file]', 'write one JSON object, to the file or to standard output')
    .action((name: string, options: EvalOptions) => withInterruption((signal) => evaluate(name, options, signal)));
}

async function evaluate(model: string, options: EvalOptions, signal: AbortSignal): Promise<void> {
  const tasks = tasksOf(options, options.judge === undefined ? fetch : await environmentFetch());
  const { out, resume } = options;
  if (resume && out === undefined) throw new ArgumentError('--resume: expected --out with it, the folder that holds the samples');
  if (typeof options.json === 'string') await checkOutputFile(options.json);
  const body = () => measureAndTell(model, tasks, options, signal);
  await (out === undefined ? body() : withOutputFolder(out, body));
}

async function measureAndTell(model: string, tasks: EvaluationTask[], options: EvalOptions, signal: AbortSignal): Promise<void> {
  const { out, resume } = options;
  const startedAt = new Date();
  const line = new ProgressLine();
  const measured = await evaluateModel(model, tasks, {
    backend: options.backend as BackendName,
    attention: options.attention,
    router: options.router,
    weights: options.weights,
    kv: options.kv,
    skipBroken: options.skipBroken,
    ...(out !== undefined && { unfinished: { folder: join(out, UNFINISHED), resume } }),
    signal,
    line,
  })
    .catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw new Interrupted(out === undefined ? 'stopped; nothing was written (--out keeps samples)' : `stopped; go on with: ${againText()}`);
    })
    .finally(() => line.clear());
  const written = out === undefined ? null : await writeResults(out, measured, { startedAt, seconds: (Date.now() - startedAt.getTime()) / 1000 });
  const output = jsonOf(measured, options);
  if (options.json === true) return printJson(output);
  if (options.json !== undefined) await writeOutputFile(options.json, `${JSON.stringify(output, null, 2)}\n`);
  for (const task of measured.tasks) print(`${task.name}: ${metricsText(task)}${measuredText(task)}`);
  if (written !== null) print(`results: ${written}`);
}

/** What the options ask for. @param send for what the judge is asked @throws ArgumentError for what cannot be */
function tasksOf(options: EvalOptions, send: typeof fetch): EvaluationTask[] {
  const names = options.tasks.split(',').map((name) => name.trim());
  for (const [i, name] of names.entries()) {
    evaluatorNamed(name);
    if (names.indexOf(name) < i) throw new ArgumentError(`--tasks: expected each task once, got ${name} twice`);
  }
  const { judge: url, judgeModel, kv, routing, limit, maxWindows, windowLength, stride, batchSize } = options;
  if ((url === undefined) !== (judgeModel === undefined)) {
    throw new ArgumentError(`${url === undefined ? '--judge-model' : '--judge'}: expected --judge and --judge-model together`);
  }
  const limited = limitOf(options);
  if (limited !== undefined) {
    if (!names.some((name) => evaluatorNamed(name).evicts)) {
      const known = evaluatorNames().filter((name) => evaluatorNamed(name).evicts);
      const option = options.kvBudget === undefined ? '--eviction' : '--kv-budget';
      throw new ArgumentError(`${option}: expected a task that depends on it (${known.join(', ')}), got ${options.tasks}`);
    }
  }
  // What a cache holds is measured token by token through one.
  const cache = limited ?? (kv !== 'f32' && routing === 'decode' ? 'none' : undefined);
  const { seeds, temperature, topK, topP, maxNewTokens, noRepeatNgramSize } = options;
  const generation = given({ seeds, temperature, topK, topP, maxNewTokens, noRepeatNgramSize });
  const retrieval = given({ lengths: options.lengths, tasks: options.rulerTasks, depths: options.depths, seed: options.seed });
  const judge = given({ url, model: judgeModel, apiKey: process.env.OPENAI_API_KEY?.trim() || undefined, fetch: send });
  const evaluation = {
    routing,
    ...given({ limit, maxWindows, windowLength, stride, batchSize }),
    ...(Object.keys(generation).length > 0 && { generation }),
    ...(Object.keys(retrieval).length > 0 && { retrieval }),
    ...(url !== undefined && { judge }),
  } as EvaluationOptions;
  const data = dataByTask(options.data, names);
  return names.map((task) => {
    const { reads, readsText = reads === 'tokens', evicts } = evaluatorNamed(task);
    return {
      task,
      data: data.get(task) ?? (readsText ? data.get(null) : undefined),
      split: options.split,
      options: evicts ? ({ ...evaluation, ...given({ cache }) } as EvaluationOptions) : evaluation,
    };
  });
}

/** `--data`: by task; without one, the text. */
function dataByTask(values: readonly string[], tasks: readonly string[]): Map<string | null, string> {
  const data = new Map<string | null, string>();
  for (const value of values) {
    const [, task = null, spec = value] = /^(\w+)=(.+)$/s.exec(value) ?? [];
    if (task !== null && !tasks.includes(task)) {
      throw new ArgumentError(`--data: expected one of the tasks ${tasks.join(', ')} before the "=", got ${task}`);
    }
    if (data.has(task)) throw new ArgumentError(`--data: expected one ${task === null ? 'text' : `data set of ${task}`}, got ${data.get(task)} and ${spec}`);
    data.set(task, spec);
  }
  return data;
}

function jsonOf({ model, attention, router, backend, weights, kv, tasks }: MeasuredModel, options: EvalOptions): object {
  const text = tasks.find(({ evaluator }) => evaluator.reads === 'tokens');
  return {
    schema: 'mixsga/eval@2',
    ...{ model, attention, ...(router !== undefined && { router }), backend, weights, kv: kv.type },
    ...(text && { corpus: text.data, split: (text.options as Pick<EvaluationTask, 'split'>).split }),
    routing: options.routing,
    ...fieldsOfCache(limitOf(options)),
    data: Object.fromEntries(tasks.map((task) => [task.name, task.data])),
    results: Object.fromEntries(tasks.map(({ name, metrics, details }) => [name, { ...metrics, ...details }])),
  };
}

/** `acc 0.3120 ± 0.0046, acc_norm 0.4000 ± 0.0049` */
function metricsText({ metrics }: MeasuredTask): string {
  const digits = (value: number) => (Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(Math.abs(value) < 10 ? 4 : 2));
  return Object.entries(metrics)
    .filter(([name]) => !name.endsWith('_stderr'))
    .map(([name, value]) => {
      const error = metrics[`${name}_stderr`] ?? null;
      return `${name} ${value === null ? '–' : digits(value)}${error === null ? '' : ` ± ${digits(error)}`}`;
    })
    .join(', ');
}

/** ` (1,234 tokens in 5 windows)`: how much a perplexity is of. */
function measuredText({ details }: MeasuredTask): string {
  const said = (['tokens', 'words', 'bytes', 'windows', 'pages'] as const).flatMap((unit) => {
    const n = details[unit];
    return typeof n === 'number' ? [`${n.toLocaleString('en')} ${n === 1 ? unit.slice(0, -1) : unit}`] : [];
  });
  return said.length < 2 ? '' : ` (${said.slice(0, -1).join(', ')} in ${said.at(-1)})`;
}

/** The command that goes on with this one. */
function againText(): string {
  const words = process.argv.slice(2).filter((word) => word !== '--resume');
  return ['mixsga', ...words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)), '--resume'].join(' ');
}

/** Without what is undefined. */
function given(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('expected a number');
  return value;
}

function integers(text: string): number[] {
  const values = text.split(',').map(Number);
  if (text.trim() === '' || !values.every(Number.isSafeInteger)) throw new InvalidArgumentError('expected whole numbers, separated by commas');
  return values;
}

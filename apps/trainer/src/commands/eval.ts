import { ArgumentError, type BackendName, startBackend, type WeightType, weightTypes } from '@mixsga/backend';
import { kvAccounting, perplexity, routing } from '@mixsga/evaluators';
import { parseEviction } from '@mixsga/kv-cache';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { loadCorpus } from '../data/corpus';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import { writeFileAtomic } from '../training/files';
import { Interrupted, withInterruption } from '../training/interruption';
import { languageModel, loadOpenModel } from '../training/model';
import { ProgressLine } from '../training/progress';
import { evictionExamples, print, printJson } from './options';

interface EvalOptions {
  tasks: string;
  routing: 'decode' | 'prefill';
  split: 'validation' | 'test';
  data: string;
  backend: string;
  eviction?: string;
  weights?: WeightType;
  maxWindows?: number;
  json?: string | true;
}

/** What is measured on the tokens of a text, by name. */
const evaluators = {
  perplexity,
  kv_accounting: async (...given: Parameters<typeof routing>) => kvAccounting(given[0], await routing(...given)),
  routing,
};

export function registerEval(program: Command): void {
  const known = Object.keys(evaluators);
  program
    .command('eval')
    .description('Measure a model on a text.')
    .argument('<model>', 'a folder, or the name of a shipped model')
    .option('--tasks <names>', `what to measure, separated by commas: ${known.join(', ')}`, known.join(','))
    .addOption(new Option('--routing <rule>', 'how tokens get their expert').choices(['decode', 'prefill']).default('decode'))
    .addOption(new Option('--split <part>', 'part of the text').choices(['validation', 'test']).default('validation'))
    .option('--data <corpus>', 'sotu, or a text file, a folder, or a JSONL file', 'sotu')
    .option('--backend <name>', 'wasm, cpu, webgpu, cuda, or auto', 'wasm')
    .option('--eviction <spec>', `perplexity token by token through a KV cache: ${evictionExamples}`)
    .addOption(new Option('--weights <type>', 'with --eviction: element type of the packed weights (default: f32)').choices(weightTypes))
    .option('--max-windows <n>', 'measure only this many windows, spread evenly over the text', positiveInteger)
    .option('--json [file]', 'write one JSON object, to the file or to standard output')
    .action((name: string, options: EvalOptions) => withInterruption((signal) => evaluate(name, options, signal)));
}

async function evaluate(name: string, options: EvalOptions, signal: AbortSignal): Promise<void> {
  const tasks = options.tasks.split(',').map((task) => knownTask(task.trim()));
  const { eviction, weights } = options;
  if (eviction !== undefined) {
    parseEviction(eviction);
    if (!tasks.includes('perplexity')) {
      throw new ArgumentError(`--eviction: expected perplexity among the tasks, which alone depends on it, got ${options.tasks}`);
    }
  } else if (weights !== undefined) {
    throw new ArgumentError('--weights: expected --eviction with it; --eviction none keeps all tokens');
  }
  const backend = await startBackend(options.backend as BackendName);
  const { model, tokenizer } = await loadOpenModel(name);
  const corpus = await loadCorpus(options.data);
  const tokens = (await tokenizeCorpus(corpus, tokenizer))[options.split];
  const line = new ProgressLine();
  const results: Record<string, unknown> = {};
  for (const task of tasks) {
    try {
      results[task] = await evaluators[task](languageModel(model, weights), tokens, {
        routing: options.routing,
        ...(eviction === undefined ? {} : { eviction }),
        ...(options.maxWindows === undefined ? {} : { maxWindows: options.maxWindows }),
        onProgress: ({ done, of }) => line.show(`${task}: window ${done} of ${of}`),
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw new Interrupted('stopped; nothing was written');
      throw error;
    } finally {
      line.clear();
    }
  }
  const output = {
    schema: 'mixsga/eval@1',
    model: name,
    attention: model.attention.spec,
    backend: backend.name,
    corpus: corpus.name,
    split: options.split,
    routing: options.routing,
    ...(eviction === undefined ? {} : { eviction, weights: weights ?? 'f32' }),
    results,
  };
  model.dispose();
  if (options.json === true) return printJson(output);
  if (options.json !== undefined) await writeFileAtomic(options.json, `${JSON.stringify(output, null, 2)}\n`);
  for (const [task, result] of Object.entries(results)) print(`${task}: ${JSON.stringify(result)}`);
}

function knownTask(name: string): keyof typeof evaluators {
  if (Object.hasOwn(evaluators, name)) return name as keyof typeof evaluators;
  throw new ArgumentError(`evaluator: expected one of ${Object.keys(evaluators).join(', ')}, got '${name}'`);
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
}

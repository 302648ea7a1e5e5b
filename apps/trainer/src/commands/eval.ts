import { type BackendName, startBackend } from '@mixsga/backend';
import { evaluatorNamed, evaluators } from '@mixsga/evaluators';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { loadCorpus } from '../data/corpus';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import { writeFileAtomic } from '../training/files';
import { Interrupted, withInterruption } from '../training/interruption';
import { languageModel, loadOpenModel } from '../training/model';
import { ProgressLine } from '../training/progress';
import { print, printJson } from './options';

interface EvalOptions {
  tasks: string;
  routing: 'decode' | 'prefill';
  split: 'validation' | 'test';
  data: string;
  backend: string;
  maxWindows?: number;
  json?: string | true;
}

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
    .option('--max-windows <n>', 'measure only this many windows, spread evenly over the text', positiveInteger)
    .option('--json [file]', 'write one JSON object, to the file or to standard output')
    .action((name: string, options: EvalOptions) => withInterruption((signal) => evaluate(name, options, signal)));
}

async function evaluate(name: string, options: EvalOptions, signal: AbortSignal): Promise<void> {
  const tasks = options.tasks.split(',').map((task) => evaluatorNamed(task.trim()));
  const backend = await startBackend(options.backend as BackendName);
  const { model, tokenizer } = await loadOpenModel(name);
  const corpus = await loadCorpus(options.data);
  const tokens = (await tokenizeCorpus(corpus, tokenizer))[options.split];
  const line = new ProgressLine();
  const results: Record<string, unknown> = {};
  for (const task of tasks) {
    try {
      results[task.name] = await task.evaluate(languageModel(model), tokens, {
        routing: options.routing,
        ...(options.maxWindows === undefined ? {} : { maxWindows: options.maxWindows }),
        onProgress: ({ windows, of }) => line.show(`${task.name}: window ${windows} of ${of}`),
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
    results,
  };
  model.dispose();
  if (options.json === true) return printJson(output);
  if (options.json !== undefined) await writeFileAtomic(options.json, `${JSON.stringify(output, null, 2)}\n`);
  for (const [task, result] of Object.entries(results)) print(`${task}: ${JSON.stringify(result)}`);
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
}

import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';

import { type BackendName, type KvType, startBackend, type WeightType, weightTypes } from '@mixsga/backend';
import { type Finish, fromPretrained, generate, type GenerationStats, type SamplingOptions, type Tokenizer } from '@mixsga/models';
import { downloadProgress, ifSlow, Interrupted, paceText, ProgressLine, withInterruption } from '@mixsga/training/node';
import { type Command, InvalidArgumentError, Option } from 'commander';

import { budgetOption, evictionOption, kvOption, type LimitOptions, limitOf, policyOption, print, printJson } from './options';

/** New tokens where no number is asked for and the context has room. */
const DEFAULT_TOKENS = 128;

interface GenerateOptions extends SamplingOptions, LimitOptions {
  prompt: string;
  maxNewTokens?: number;
  stop: string[];
  attention?: string;
  align?: true;
  weights: WeightType;
  kv: KvType;
  backend: string;
  json: boolean;
}

export function registerGenerate(program: Command): void {
  program
    .command('generate')
    .description('Continue a text. It appears on standard output as it comes.')
    .argument('<model>', 'a folder, the name of a shipped model, or an id of the hub such as facebook/opt-125m, which is fetched once')
    .requiredOption('--prompt <text>', 'the text to continue; - reads it from standard input')
    .option('--max-new-tokens <n>', `stop after this many tokens (default: ${DEFAULT_TOKENS}, or fewer where the context ends)`, number)
    .option('--temperature <x>', '0 takes the likeliest token; above, tokens are drawn', number, 0)
    .option('--top-k <n>', 'draw among the n likeliest tokens only', number)
    .option('--top-p <x>', 'draw among the likeliest tokens that reach this probability only', number)
    .option('--repetition-penalty <x>', 'make tokens less likely that the text has already; 1 changes nothing', number, 1)
    .option('--seed <n>', 'seed of the draws', number, 0)
    .addOption(
      new Option('--stop <text>', 'stop before this text; repeatable')
        .argParser((value: string, previous: string[]) => [...previous, value])
        .default([], 'none'),
    )
    .option('--attention <spec>', 'convert a model with plain attention in memory: gqa:2, cla:2, mixsga:3:1:6')
    .option('--align', 'align heads before that conversion, as convert does')
    .addOption(new Option('--weights <type>', 'element type of the packed weights').choices(weightTypes).default('f32'))
    .addOption(kvOption())
    .addOption(evictionOption('which tokens leave the KV cache'))
    .addOption(budgetOption())
    .addOption(policyOption())
    .option('--backend <name>', 'wasm, cpu, webgpu, cuda, or auto', 'wasm')
    .option('--json', 'print one JSON object at the end: text, tokens, stats, ...', false)
    .action((name: string, options: GenerateOptions) => withInterruption((signal) => run(name, options, signal)));
}

async function run(name: string, options: GenerateOptions, signal: AbortSignal): Promise<void> {
  const cache = limitOf(options);
  const line = new ProgressLine();
  const promptText = options.prompt === '-' ? await standardInput(signal) : options.prompt;
  const show = (what: string, of: number) => {
    const pace = paceText();
    const told = ifSlow((text) => line.show(text));
    return (done: number) => told(`${what}: ${pace({ done: done * of, of })}`);
  };
  const encode = once((tokenizer: Tokenizer) => tokenizer.encodeLong(promptText, { signal, onProgress: show('encoding', promptText.length) }));
  const open = async () => {
    const { name: backend } = await startBackend(options.backend as BackendName);
    const { attention, align, weights, kv } = options;
    const workload = async ({ tokenizer, contextLength }: { tokenizer: Tokenizer; contextLength: number }) => {
      const passTokens = (await encode(tokenizer)).length;
      return { passTokens, cachedTokens: passTokens + newTokens(options, passTokens, contextLength), cache };
    };
    const opened = await fromPretrained(name, { attention, align, weights, kv, workload, signal, progress: downloadProgress(line) }).catch((error: unknown) => {
      if (signal.aborted) throw new Interrupted('stopped while opening the model; the same command resumes from what was fetched');
      throw error;
    }).finally(() => line.clear());
    return { backend, ...opened };
  };
  const opened = await open();
  const { tokenizer, stopTokens } = opened;
  let { backend, decoder } = opened;
  const prompt = await encode(tokenizer);
  const onPrefill = show('prompt', prompt.length);
  const { temperature, topK, topP, repetitionPenalty, seed, stop } = options;
  const generation = generate(decoder, [prompt], {
    ...{ temperature, topK, topP, repetitionPenalty, seed, cache },
    maxNewTokens: newTokens(options, prompt.length, decoder.contextLength),
    stopTokens,
    stopStrings: stop,
    tokenizer,
    signal,
    onPrefill: (_, done) => onPrefill(done),
    async recover(error) {
      process.stderr.write(`${error.message}\nmixsga: going on with a new one\n`);
      decoder.dispose();
      ({ backend, decoder } = await open());
      return decoder;
    },
  });
  const pieces: string[] = [];
  let finish: Finish | null = null;
  try {
    for await (const event of generation) {
      line.clear();
      pieces.push(event.text);
      finish = event.finish;
      if (!options.json) process.stdout.write(event.text);
    }
  } catch (error) {
    if (signal.aborted) throw new Interrupted(`stopped after ${generation.tokens(0).length} tokens`);
    throw error;
  } finally {
    line.clear();
    if (!options.json && pieces.length > 0) print('');
    decoder.dispose();
  }
  const stats = generation.stats();
  if (!options.json) return void process.stderr.write(`${summary(stats)}\n`);
  printJson({
    schema: 'mixsga/generate@1',
    model: name,
    attention: decoder.attention,
    backend,
    weights: options.weights,
    kv: options.kv,
    text: pieces.join(''),
    tokens: generation.tokens(0),
    finish,
    stats,
  });
}

async function standardInput(signal: AbortSignal): Promise<string> {
  try {
    return await text(addAbortSignal(signal, process.stdin));
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

function newTokens({ maxNewTokens }: GenerateOptions, promptTokens: number, contextLength: number): number {
  return maxNewTokens ?? Math.max(1, Math.min(DEFAULT_TOKENS, contextLength - promptTokens));
}

/** A function of one model's tokenizer, of which the first answer stands. */
function once<In, Out>(make: (input: In) => Out): (input: In) => Out {
  let made: { readonly value: Out } | undefined;
  return (input) => (made ??= { value: make(input) }).value;
}

function summary(stats: GenerationStats): string {
  const speed = (value: number | null) => (value === null ? '' : `, ${value.toFixed(value < 10 ? 1 : 0)} tokens/s`);
  const bytes = (value: number) => value.toLocaleString('en');
  const { expertCounts } = stats;
  return (
    `prompt: ${stats.promptTokens} tokens${speed(stats.prefillTokensPerSecond)}; ` +
    `generated: ${stats.newTokens} tokens${speed(stats.tokensPerSecond)}; ` +
    `KV cache: ${stats.tokensKept} of ${stats.tokensSeen} tokens, ${bytes(stats.kvBytesUsed)} bytes, ` +
    `${bytes(stats.kvBytesAllocated)} allocated` +
    (expertCounts.length > 1 ? `; by expert: ${expertCounts.join(':')}` : '')
  );
}

function number(argument: string): number {
  const value = Number(argument);
  if (argument.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('expected a number');
  return value;
}

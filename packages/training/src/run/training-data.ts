import { ArgumentError } from '@mixsga/backend';
import type { LikelihoodModel } from '@mixsga/evaluators';
import type { Tokenizer } from '@mixsga/models';

import { downloadProgress } from '../progress/download-progress';
import { BatchSampler } from '../data/batch-sampler';
import { loadCorpus, textsForTokenizer } from '../data/corpus';
import { InstructionSampler } from '../data/instruction-sampler';
import { encodeExamples } from '../data/examples';
import { readInstructions } from '../data/instructions';
import { PART_NAMES, type Parts } from '../data/split';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import type { RunConfig } from '../config/run-config';
import type { Sampler } from '../optimisation/loop';
import { readingProgress } from '../progress/progress';
import type { Reporter } from '../progress/reporter';
import { validate, type Validation, validateResponses } from './validation';

/** What a run is trained and validated on. */
export interface TrainingData {
  /** One line for people: how much it is, and how it was split. */
  readonly description: string;
  readonly sampler: Sampler;
  /** Steps that go once through the training part, not rounded. */
  readonly stepsPerEpoch: number;
  /** Token ids with which the validation part begins. */
  readonly beginning: Int32Array;
  /** Rows of instructions; null of a text. */
  readonly rows: RowCounts | null;
  /** Files for the run's folder, by name. */
  readonly files: ReadonlyMap<string, string>;
  /** @param limit measures this many windows or rows, spread evenly over the validation part; default all */
  validate(model: LikelihoodModel, options: { limit: number | undefined; signal?: AbortSignal }): Promise<Validation>;
  close(): void;
}

/** How many rows a run has of each part, and how many of those that were read it does not use. */
export interface RowCounts extends Parts<number> {
  /** Prompts longer than the limit. */
  readonly leftOut: number;
  readonly broken: number;
}

/** Data that was found, and waits for the tokenizer of a model. */
export interface FoundData {
  readonly name: string;
  /** To train a tokenizer on. */
  texts(): Promise<string[]>;
  /**
   * @param eos the token that ends a response, where the model names one
   * @throws FileError when the data is broken or too little; ArgumentError when model and settings do not fit it
   */
  encode(tokenizer: Tokenizer, eos: number | undefined): Promise<TrainingData>;
}

interface Reading {
  readonly signal: AbortSignal;
  readonly reporter: Pick<Reporter, 'activity' | 'message'>;
}

/** Finds the data of a configuration. @throws FileError when it cannot be had */
export function findTrainingData(config: RunConfig, reading: Reading): Promise<FoundData> {
  const { instructions, corpus } = config.data;
  return instructions === undefined ? findText(config, corpus!, reading) : findInstructions(config, instructions, reading);
}

async function findText(config: RunConfig, spec: string, reading: Reading): Promise<FoundData> {
  const { textField, skipBroken } = config.data;
  const corpus = await loadCorpus(spec, { textField, skipBroken, ...findOptions(config, reading) });
  return {
    name: corpus.name,
    texts: () => textsForTokenizer(corpus),
    async encode(tokenizer) {
      const { signal, reporter } = reading;
      const tokens = await tokenizeCorpus(corpus, tokenizer, { signal, onProgress: readingProgress('encoding', corpus.bytes, reporter) });
      const sampler = new BatchSampler(tokens.train, { batchSize: config.batchSize, sequenceLength: config.sequenceLength, seed: config.seed });
      return {
        description: tokens.description,
        sampler,
        stepsPerEpoch: (tokens.train.length - 1) / (config.batchSize * config.accumulate * config.sequenceLength),
        beginning: tokens.validation,
        rows: null,
        files: new Map(),
        validate: (model, { limit, signal }) =>
          validate(model, tokens.validation, {
            windowLength: config.sequenceLength,
            batchSize: config.batchSize,
            ...(limit !== undefined && { maxWindows: limit }),
            ...(signal && { signal }),
          }),
        close: () => tokens.close(),
      };
    },
  };
}

async function findInstructions(config: RunConfig, spec: string, reading: Reading): Promise<FoundData> {
  const { split, skipBroken, maxPromptTokens = Math.min(256, config.sequenceLength - 1) } = config.data;
  const { name, parts, skipped } = await readInstructions(spec, { split, skipBroken, ...findOptions(config, reading) });
  return {
    name,
    texts: () => Promise.reject(new ArgumentError('data.instructions: expected model.from, or data.tokenizer for a new model')),
    async encode(tokenizer, eos) {
      if (eos === undefined) throw new ArgumentError('data.instructions: expected a model whose config.json has an eos_token_id, which ends a response');
      const { sequenceLength: maxTokens, batchSize, seed } = config;
      const encode = (part: keyof Parts<unknown>) => encodeExamples(parts[part], tokenizer, { eos, maxPromptTokens, maxTokens, signal: reading.signal });
      const examples = { train: await encode('train'), validation: await encode('validation') };
      for (const part of ['train', 'validation'] as const) {
        if (examples[part].length > 0) continue;
        throw new ArgumentError(`${spec}: its ${part} part has no row with a prompt of at most ${maxPromptTokens} tokens; raise data.maxPromptTokens or sequenceLength`);
      }
      const read = parts.train.length + parts.validation.length;
      const rows: RowCounts = {
        train: examples.train.length,
        validation: examples.validation.length,
        test: parts.test.length,
        leftOut: read - examples.train.length - examples.validation.length,
        broken: skipped,
      };
      return {
        description: describe(name, rows, maxPromptTokens),
        sampler: new InstructionSampler(examples.train, { batchSize, padding: eos, seed }),
        stepsPerEpoch: rows.train / (batchSize * config.accumulate),
        beginning: examples.validation[0]!.tokens,
        rows,
        // The rows as they were read: whoever evaluates must not measure on what was trained on.
        files: new Map(
          (['validation', 'test'] as const).map((part) => [`${part}.jsonl`, parts[part].map(({ row }) => `${JSON.stringify(row.value)}\n`).join('')]),
        ),
        validate: (model, { limit = Infinity, signal }) =>
          validateResponses(model, evenly(examples.validation, limit), { batchSize, maxTokens, signal }),
        close: () => undefined,
      };
    },
  };
}

function findOptions({ data }: RunConfig, { signal, reporter }: Reading) {
  return { file: data.files, signal, onProgress: downloadProgress({ show: (text) => reporter.activity(text) }) };
}

function describe(name: string, { broken, leftOut, ...parts }: RowCounts, maxPromptTokens: number): string {
  const sizes = PART_NAMES.map((part) => `${part} ${parts[part].toLocaleString('en-US')}`).join(', ');
  const long = leftOut === 0 ? '' : `; ${leftOut} rows left out, their prompts being longer than ${maxPromptTokens} tokens`;
  return `${name}: instructions: ${sizes}${long}${broken === 0 ? '' : `; ${broken} broken rows left out`}`;
}

/** At most a number of items of a list, at even distances. */
function evenly<T>(list: readonly T[], limit: number): readonly T[] {
  if (list.length <= limit) return list;
  return Array.from({ length: limit }, (_, i) => list[Math.floor((i * list.length) / limit)]!);
}

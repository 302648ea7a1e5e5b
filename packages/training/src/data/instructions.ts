import { basename } from 'node:path';

import { FileError, SeededRandom, Turns } from '@mixsga/backend';
import { type DataRow, encodeInstruction, type EvaluationTokenizer, type Instruction, parseInstruction } from '@mixsga/evaluators';

import { shuffled } from './batch-sampler';
import { findDataFiles, type FindOptions } from './data-files';
import { readFileRows } from './rows';
import { sotuRows } from './sotu-rows';
import { PART_NAMES, type Parts } from './split';

/** Rows of instructions with responses, as they are split. */
export interface InstructionRows {
  /** `sotu`, the file or folder name, or the id on the hub. */
  readonly name: string;
  readonly parts: Parts<readonly InstructionRow[]>;
  /** Rows that were broken and left out. */
  readonly skipped: number;
}

export interface InstructionRow {
  readonly row: DataRow;
  readonly instruction: Instruction;
}

export interface InstructionOptions extends FindOptions {
  /** Rows to take for a part that has no files of its own. Default 5 % of all. */
  readonly split?: { readonly validation?: number | undefined; readonly test?: number | undefined } | undefined;
  /** Leaves broken rows out in place of failing. */
  readonly skipBroken?: boolean | undefined;
}

/**
 * Reads instructions with responses and splits them into train, validation and test: a set whose files name these parts has them so;
 * for a part that it lacks, rows of the training part are drawn, the same for every run and every model.
 *
 * @param spec `sotu` for those made of the embedded corpus, or what {@link readRows} takes
 * @throws FileError when a row is broken (it names it), when there are none, or too few to be split
 */
export async function readInstructions(
  spec: string,
  { split = {}, skipBroken = false, ...options }: InstructionOptions = {},
): Promise<InstructionRows> {
  const parts: Parts<InstructionRow[]> = { train: [], validation: [], test: [] };
  let skipped = 0;
  const skip = (): number => skipped++;
  const add = (part: keyof Parts<unknown>, row: DataRow): void => {
    try {
      parts[part].push({ row, instruction: parseInstruction(row) });
    } catch (error) {
      if (!skipBroken || !FileError.isInstance(error)) throw error;
      skip();
    }
  };
  if (spec === 'sotu') {
    for (const part of PART_NAMES) for (const row of await sotuRows('instructions', part)) add(part, row);
    return { name: spec, parts, skipped };
  }
  const files = await findDataFiles(spec, options);
  for (const file of files) {
    for await (const row of readFileRows(file, { skipBroken, onSkip: skip, signal: options.signal })) add(file.part ?? 'train', row);
  }
  const own = new Set(files.map(({ part }) => part));
  const rows = parts.train;
  const wanted = { validation: 0, test: 0 };
  for (const part of ['validation', 'test'] as const) {
    if (!own.has(part)) wanted[part] = split[part] ?? Math.max(1, Math.round(rows.length / 20));
  }
  const drawn = wanted.validation + wanted.test;
  if (rows.length <= drawn) {
    throw new FileError(spec, `holds ${rows.length} rows to train on, expected more than ${drawn}: ${wanted.validation} to validate and ${wanted.test} to test`);
  }
  const order = shuffled(rows.length, new SeededRandom(0, 0));
  const taken = (from: number, count: number) => [...order.subarray(from, from + count)].sort((a, b) => a - b).map((i) => rows[i]!);
  parts.validation.push(...taken(0, wanted.validation));
  parts.test.push(...taken(wanted.validation, wanted.test));
  parts.train = taken(drawn, rows.length - drawn);
  return { name: files[0]!.path === files[0]!.name ? basename(spec) : spec, parts, skipped };
}

/** Prompt and response as one sequence. */
export interface Example {
  /** Token ids: those of the prompt, the response and EOS. */
  readonly tokens: Int32Array;
  /** Tokens of the prompt. */
  readonly prompt: number;
}

export interface ExampleOptions {
  /** The token that ends a response. */
  readonly eos: number;
  readonly maxPromptTokens: number;
  /** Of prompt and response together: a response that is longer is cut, and has no EOS. */
  readonly maxTokens: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Instructions in the template as tokens, while others have their turn. As in MiniLLM, a row whose prompt is longer than the limit is
 * left out.
 */
export async function encodeExamples(
  rows: readonly InstructionRow[], tokenizer: EvaluationTokenizer, { signal, ...options }: ExampleOptions,
): Promise<Example[]> {
  const examples: Example[] = [];
  const turns = new Turns(signal);
  for (const { instruction } of rows) {
    const { prompt, response, promptCut } = encodeInstruction(tokenizer, instruction, options);
    if (!promptCut) examples.push({ tokens: Int32Array.from([...prompt, ...response]), prompt: prompt.length });
    if (turns.due) await turns.take();
  }
  return examples;
}

import { basename } from 'node:path';

import { FileError, SeededRandom } from '@mixsga/backend';
import { type DataRow, parseInstruction } from '@mixsga/evaluators';

import { shuffled } from './batch-sampler';
import { findDataFiles, type FindOptions } from './data-files';
import type { InstructionRow } from './examples';
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

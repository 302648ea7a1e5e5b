import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ArgumentError, FileError } from '@mixsga/backend';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { InstructionSampler } from './instruction-sampler';
import { encodeExamples, type Example, type InstructionRow } from './examples';
import { type InstructionOptions, readInstructions } from './instructions';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-instructions-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, rows: readonly unknown[]): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n'));
  return path;
}

const numbered = (n: number, name = '') => Array.from({ length: n }, (_, i) => ({ instruction: `Do ${name}${i}.`, context: '', response: `Done ${i}.` }));
const read = async (spec: string, options?: InstructionOptions) => {
  const { parts, ...rest } = await readInstructions(spec, options);
  const tasks = (rows: readonly InstructionRow[]) => rows.map(({ instruction }) => instruction.instruction);
  return { ...rest, train: tasks(parts.train), validation: tasks(parts.validation), test: tasks(parts.test) };
};

describe('readInstructions', () => {
  it('draws validation and test, the same each time, rows staying in order', async () => {
    const path = await file('forty.jsonl', numbered(40));
    const { name, train, validation, test } = await read(path, { split: { validation: 7, test: 3 } });
    expect(name).toBe('forty.jsonl');
    expect([train.length, validation.length, test.length]).toEqual([30, 7, 3]);
    const all = numbered(40).map(({ instruction }) => instruction);
    expect([...train, ...validation, ...test].sort()).toEqual([...all].sort());
    for (const part of [train, validation, test]) expect(part).toEqual(all.filter((task) => part.includes(task)));
    expect(validation).not.toEqual(all.slice(0, 7));
    expect(await read(path, { split: { validation: 7, test: 3 } })).toMatchObject({ train, validation, test });
    expect((await read(path)).validation).toHaveLength(2);
    expect((await read(path, { split: { test: 0 } })).test).toEqual([]);
  });

  it('takes the parts that a set has', async () => {
    await file('set/train.jsonl', numbered(10, 'a'));
    await file('set/validation.jsonl', numbered(2, 'b'));
    const { train, validation, test } = await read(join(folder, 'set'));
    expect([train.length, validation, test.length]).toEqual([9, ['Do b0.', 'Do b1.'], 1]);
    expect(await read('sotu')).toMatchObject({ name: 'sotu', train: { length: 2000 }, validation: { length: 200 }, test: { length: 200 } });
  });

  it('names a broken row, and leaves it out only when that is asked for', async () => {
    const path = await file('broken.jsonl', [...numbered(10), '{"instruction": ', { instruction: 'No response.' }]);
    await expect(read(path)).rejects.toThrow(`${path}: line 11: not JSON`);
    const skipped = await read(path, { skipBroken: true });
    expect([skipped.skipped, skipped.train.length]).toEqual([2, 8]);
    const error: unknown = await read(await file('missing.jsonl', [...numbered(10), { instruction: 'No response.' }])).catch((e: unknown) => e);
    expect(FileError.isInstance(error)).toBe(true);
    expect((error as Error).message).toMatch(/missing\.jsonl: line 11: expected a response in field/);
  });

  it('refuses a set that is too small for its split', async () => {
    const path = await file('few.jsonl', numbered(10));
    await expect(read(path, { split: { validation: 5, test: 5 } })).rejects.toThrow(
      'few.jsonl: holds 10 rows to train on, expected more than 10: 5 to validate and 5 to test',
    );
    await expect(read(await file('none.jsonl', []))).rejects.toThrow('holds 0 rows to train on');
  });
});

/** A token for each character. */
const tokenizer = {
  encode: (text: string) => [...text].map((character) => character.codePointAt(0)!),
  decode: (ids: ArrayLike<number>) => String.fromCodePoint(...Array.from(ids)),
};
const EOS = 7;

describe('encodeExamples', () => {
  it('ends responses with EOS, cuts them at the limit, and leaves out rows with long prompts', async () => {
    const short = { instruction: 'A', response: 'xyz' };
    const rows = [short, { instruction: 'B', response: 'r'.repeat(300) }, { instruction: 'C'.repeat(200), response: 'z' }];
    const { parts } = await readInstructions(await file('lengths.jsonl', rows), { split: { validation: 0 as never, test: 0 } });
    const examples = await encodeExamples(parts.train, tokenizer, { eos: EOS, maxPromptTokens: 200, maxTokens: 256 });
    expect(examples).toHaveLength(2);
    const [first, second] = examples as [Example, Example];
    expect(tokenizer.decode(first.tokens)).toMatch(/^Below is an instruction.*### Response:\nxyz\u0007$/s);
    expect(tokenizer.decode(first.tokens.subarray(first.prompt))).toBe('xyz\u0007');
    expect([second.tokens.length, second.tokens.at(-1)]).toEqual([256, 'r'.codePointAt(0)]);
  });
});

describe('InstructionSampler', () => {
  const examples: Example[] = [
    { tokens: Int32Array.of(10, 11, 12, 20, 21, EOS), prompt: 3 },
    { tokens: Int32Array.of(13, 14, 22, EOS), prompt: 2 },
    { tokens: Int32Array.of(15, 23, EOS), prompt: 1 },
  ];
  const sampler = (seed: number, batchSize = 2) => new InstructionSampler(examples, { batchSize, padding: EOS, seed });

  it('pads on the right, and only tokens of the response are targets', () => {
    const { length, inputs, targets, mask } = sampler(0, 3).next();
    const rows = [0, 1, 2].map((row) => {
      const of = (values: Int32Array) => [...values.subarray(row * length, (row + 1) * length)];
      return { inputs: of(inputs), targets: of(targets), mask: of(mask) };
    });
    expect(length).toBe(5);
    expect(rows.sort((a, b) => a.inputs[0]! - b.inputs[0]!)).toEqual([
      { inputs: [10, 11, 12, 20, 21], targets: [-1, -1, 20, 21, EOS], mask: [1, 1, 1, 1, 1] },
      { inputs: [13, 14, 22, EOS, EOS], targets: [-1, 22, EOS, -1, -1], mask: [1, 1, 1, 0, 0] },
      { inputs: [15, 23, EOS, EOS, EOS], targets: [23, EOS, -1, -1, -1], mask: [1, 1, 0, 0, 0] },
    ]);
  });

  it('gives every row once an epoch, in an order of the seed and the epoch', () => {
    const orders = Array.from({ length: 8 }, (_, seed) => {
      const one = sampler(seed, 1);
      return Array.from({ length: 6 }, () => one.next().inputs[0]!);
    });
    for (const order of orders) for (const epoch of [order.slice(0, 3), order.slice(3)]) expect([...epoch].sort()).toEqual([10, 13, 15]);
    expect(new Set(orders.map(String)).size).toBeGreaterThan(4);
    expect(orders.some((order) => String(order.slice(0, 3)) !== String(order.slice(3)))).toBe(true);
  });

  it('resumes from its state, and refuses another', () => {
    const one = sampler(3);
    for (let i = 0; i < 4; i++) one.next();
    const two = sampler(3);
    two.restore(JSON.parse(JSON.stringify(one.state())));
    for (let i = 0; i < 5; i++) expect(two.next()).toEqual(one.next());
    const state = one.state();
    expect(() => sampler(4).restore(state)).toThrow('a state with seed 4, got 3');
    expect(() => sampler(3).restore({ ...state, tokens: 12 })).toThrow('a state with tokens 13, got 12; resume with the data');
    expect(() => sampler(3).restore({ ...state, position: 4 })).toThrow('the latter at most 3');
    expect(() => sampler(3).restore(null)).toThrow(ArgumentError);
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { metricRows, run, start, until } from './testing/command-line';

const SLOW = 240_000;
/** 32 rows to train on, 8 a step, 5 times. */
const STEPS = 20;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);
const json = (...parts: string[]) => JSON.parse(readFileSync(at(...parts), 'utf8')) as Record<string, unknown>;

const config = {
  model: { from: 'sotu-mini', attention: 'mixsga:3:1:6' },
  data: { instructions: 'tasks.jsonl', split: { validation: 5, test: 3 } },
  sequenceLength: 160,
  batchSize: 4,
  accumulate: 2,
  epochs: 5,
  // High to the end, so that the last model is not the best.
  optimizer: { learningRate: 0.005, minLearningRateRatio: 1 },
  evaluateEvery: 2,
  checkpointEvery: 3,
};

/** Forty tasks under Dolly's and Alpaca's names in turn; what they ask for can be learnt by heart, and no more. */
const tasks = Array.from({ length: 40 }, (_, i) => {
  const animal = ['cat', 'dog', 'owl', 'fox', 'elk'][i % 5]!;
  const words = ['peace', 'treaty', 'gold', 'union', 'navy', 'roads', 'mail', 'tariff', 'west', 'debt', 'corn'];
  const instruction = `Say what the ${animal} thinks of on day ${i}.`;
  const context = i % 3 ? '' : `The ${animal} thinks.`;
  const response = `Of ${words[(i * i + 3 * i) % 11]!} and ${words[(5 * i * i + i) % 11]!}.`;
  return i % 2 ? { instruction, input: context, output: response } : { instruction, context, response, category: 'qa' };
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-cli-instructions-'));
  await writeFile(at('tasks.jsonl'), tasks.map((row) => JSON.stringify(row)).join('\n'));
  await writeFile(at('run.json'), JSON.stringify(config));
  const { code, out, err } = await run(folder, ['train', 'run.json', '--out', 'whole']);
  expect(`${code} ${err}`).toMatch(/^0 tasks\.jsonl: instructions: train 32, validation 5, test 3\n/);
  expect(out).toMatch(/^whole: mixsga:3:1:6, \d+ tokens; validation perplexity [\d.]+ under decode routing, [\d.]+ under prefill, agreement/);
  expect(err).toMatch(/kept the model of step \d+ of 20, with a validation perplexity of [\d.]+/);
}, SLOW);
afterAll(() => rm(folder, { recursive: true }));

/** The rows of a run without the times in them. */
function numbers(name: string): Record<string, unknown>[] {
  return metricRows(at(name, 'metrics.jsonl')).map(({ tokensPerSecond: _time, ...row }) => row);
}

describe('mixsga train with instructions', () => {
  it('learns responses, and tells what it was trained and measured on', () => {
    const steps = numbers('whole').filter(({ kind }) => kind === 'train');
    expect(steps).toHaveLength(STEPS);
    expect(Math.min(...steps.map(({ lm }) => lm as number))).toBeLessThan(0.5 * (steps[0]!.lm as number));
    const result = json('whole', 'result.json');
    expect(result).toMatchObject({ corpus: 'tasks.jsonl', rows: { train: 32, validation: 5, test: 3, leftOut: 0, broken: 0 }, tokens: steps.at(-1)!.tokens });
    expect(result.agreement).toBeGreaterThan(0.3);
    expect((result.realisedKvBudget as { prefill: number }).prefill).toBeCloseTo(0.5, 1);
    const kept = (name: string) => readFileSync(at('whole', name), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as unknown);
    const [validation, test] = [kept('validation.jsonl'), kept('test.jsonl')];
    expect([validation.length, test.length, new Set([...validation, ...test].map((row) => JSON.stringify(row))).size]).toEqual([5, 3, 8]);
    for (const row of [...validation, ...test]) expect(tasks).toContainEqual(row);
  });

  it('ends with the best model, which was not the last', () => {
    const validations = numbers('whole').filter(({ kind }) => kind === 'validation');
    expect(validations.map(({ step }) => step)).toEqual(Array.from({ length: STEPS / 2 }, (_, i) => 2 * (i + 1)));
    const lowest = validations.reduce((a, b) => ((b.decode as number) < (a.decode as number) ? b : a));
    expect(lowest.step).toBeLessThan(STEPS);
    const result = json('whole', 'result.json');
    expect(result.best).toEqual({ step: lowest.step, perplexity: lowest.decode });
    expect(result.perplexity).toEqual({ decode: lowest.decode, prefill: lowest.prefill });
    expect(result.agreement).toBe(lowest.agreement);
  });

  it('comes to the same numbers and model, bit for bit, through a Ctrl-C and a kill', async () => {
    const trained = (): number => numbers('broken').filter(({ kind }) => kind === 'train').length;
    const args = ['train', 'run.json', '--out', 'broken', '--resume'];
    const first = start(folder, args);
    await until(() => trained() >= 4);
    first.child.kill('SIGINT');
    const interrupted = await first.ended;
    expect([interrupted.code, interrupted.err]).toEqual([130, expect.stringMatching(/stopped at step \d+ of 20, with a checkpoint; continue with: mixsga/)]);
    const before = trained();
    const killed = start(folder, args);
    await until(() => trained() > before + 4);
    killed.child.kill('SIGKILL');
    expect((await killed.ended).code).toBe(null);
    const last = await run(folder, args);
    expect(last.code, last.err).toBe(0);
    expect(last.err).toMatch(/resumed at step \d+ of 20/);
    expect(numbers('broken')).toEqual(numbers('whole'));
    expect(json('broken', 'result.json')).toEqual(json('whole', 'result.json'));
    expect(readFileSync(at('broken', 'model.safetensors')).equals(readFileSync(at('whole', 'model.safetensors')))).toBe(true);
  }, SLOW);

  it('keeps the last model when that is asked for, and measures tasks on the rows kept out of training', async () => {
    const task = { task: 'dolly', data: 'run', split: 'test', generation: { seeds: [10], maxNewTokens: 8 } };
    const settings = ['keepBest=false', 'epochs=1', 'evaluateEvery=0', `tasks=${JSON.stringify([task])}`].flatMap((setting) => ['--set', setting]);
    const { code, out, err } = await run(folder, ['train', 'run.json', ...settings, '--out', 'last']);
    expect(`${code} ${err}`).toMatch(/^0 /);
    expect(json('last', 'result.json').best).toBe(null);
    expect(readdirSync(at('last', 'checkpoints'))).not.toContain('best');
    expect(out).toMatch(/\ndolly: \{"rouge_l":[\d.]+/);
    expect(json('last', 'evaluations', 'dolly.json')).toMatchObject({ details: { rows: 3 } });
  }, SLOW);
});

describe('bad input ends with one line and the right exit code', () => {
  beforeAll(async () => {
    await writeFile(at('broken.jsonl'), '{"instruction": "a", "response": "b"}\n{"instruction": ');
    await writeFile(at('fields.jsonl'), '{"instruction": "a", "answer": "b"}');
    await writeFile(at('empty.jsonl'), '');
    await writeFile(at('cut.parquet'), 'PAR1');
  });

  it.each<[string[], number, RegExp]>([
    [['data.instructions=broken.jsonl'], 1, /^mixsga: broken\.jsonl: line 2: not JSON/],
    [['data.instructions=fields.jsonl'], 1, /^mixsga: fields\.jsonl: line 1: expected a response in field 'output', 'response', got 'instruction', 'answer'/],
    [['data.instructions=empty.jsonl'], 1, /^mixsga: empty\.jsonl: holds 0 rows to train on, expected more than 8/],
    [['data.instructions=cut.parquet'], 1, /^mixsga: cut\.parquet: not a Parquet file/],
    [['data.instructions=absent.jsonl'], 1, /^mixsga: absent\.jsonl: cannot be read/],
    [['data.split.validation=37'], 1, /^mixsga: tasks\.jsonl: holds 40 rows to train on, expected more than 40/],
    [['data.maxPromptTokens=5'], 2, /^mixsga: tasks\.jsonl: its train part has no row with a prompt of at most 5 tokens/],
    [['data.corpus=sotu'], 2, /^mixsga: run\.json: data: expected one of data\.corpus and data\.instructions, got both/],
    [['tokens=1000'], 2, /^mixsga: run\.json: epochs: expected exactly one of tokens and epochs, got both/],
    [['data.spilt=3'], 2, /^mixsga: run\.json: unknown key data\.spilt; did you mean split\?/],
    [['sequenceLength=512'], 2, /^mixsga: sequenceLength: expected at most 256, the model's context length, got 512/],
  ])('%j', async (settings, code, message) => {
    const ended = await run(folder, ['train', 'run.json', ...settings.flatMap((setting) => ['--set', setting]), '--out', 'refused']);
    expect(ended.err.trimEnd().split('\n').at(-1)).toMatch(message);
    expect(ended.code).toBe(code);
    expect(readdirSync(folder)).not.toContain('refused');
  });
});

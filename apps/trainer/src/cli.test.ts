import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { metricRows, run, start, until, writeCorpus } from './testing/command-line';

const SLOW = 240_000;
const STEPS = 40;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

const config = {
  model: { init: { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, contextLength: 32 }, attention: 'mixsga:3:1:6' },
  data: { corpus: 'corpus.txt', vocabularySize: 300 },
  sequenceLength: 32,
  batchSize: 4,
  tokens: STEPS * 128,
  optimizer: { learningRate: 0.01 },
  evaluateEvery: 8,
  evaluationWindows: 4,
  finalEvaluationWindows: 8,
  checkpointEvery: 6,
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-cli-'));
  await writeCorpus(folder);
  await writeFile(at('run.json'), JSON.stringify(config));
  const { code, out, err } = await run(folder, ['train', 'run.json', '--out', 'whole']);
  expect(`${code} ${err}`).toMatch(/^0 /);
  expect(out).toMatch(/^whole: mixsga:3:1:6, 5120 tokens; validation perplexity [\d.]+ under decode routing, [\d.]+ under prefill/);
}, SLOW);
afterAll(() => rm(folder, { recursive: true }));

/** The rows of a run without the times in them. */
function numbers(name: string): unknown[] {
  return metricRows(at(name, 'metrics.jsonl')).map(({ tokensPerSecond: _time, ...row }) => row);
}

describe('mixsga train', () => {
  it('learns and leaves a model, its result, metrics and events', () => {
    const rows = metricRows(at('whole', 'metrics.jsonl'));
    const steps = rows.filter(({ kind }) => kind === 'train');
    expect(steps).toHaveLength(STEPS);
    expect(steps.at(-1)!.lm).toBeLessThan(steps[0]!.lm as number);
    expect(rows.at(-1)).toMatchObject({ kind: 'validation', step: STEPS });
    const files = readdirSync(at('whole')).filter((name) => !name.startsWith('events.out.tfevents.'));
    expect(files.sort()).toEqual(
      [
        ...['README.md', 'checkpoints', 'config.json', 'metrics.jsonl', 'model.safetensors', 'result.json', 'run.json', 'tokenizer.json'],
        'tokenizer_config.json',
      ],
    );
    const result = JSON.parse(readFileSync(at('whole', 'result.json'), 'utf8')) as Record<string, unknown>;
    expect(result).toMatchObject({ attention: 'mixsga:3:1:6', backend: 'wasm', kvBudget: 0.5, tokens: 5120 });
  });

  it(
    'comes to the same numbers and weights, bit for bit, through a Ctrl-C, a full disk and a kill',
    async () => {
      const trainedSteps = (): number => numbers('broken').filter((row) => (row as { kind: string }).kind === 'train').length;
      const args = ['train', 'run.json', '--out', 'broken', '--resume'];

      const first = start(folder, args);
      await until(() => trainedSteps() >= 9);
      first.child.kill('SIGINT');
      const interrupted = await first.ended;
      expect(interrupted.code).toBe(130);
      expect(interrupted.err).toMatch(/stopped at step \d+ of 40, with a checkpoint; continue with: mixsga train run\.json --out broken --resume\n$/);

      const checkpoint = readFileSync(at('broken', 'checkpoints', 'latest'), 'utf8');
      const full = await run(folder, args, 40);
      expect(full.code).toBe(1);
      expect(full.err.trimEnd().split('\n').at(-1)).toMatch(/^mixsga: broken\/checkpoints\/step-\d+: cannot write: the file is larger than the system allows/);
      expect(readFileSync(at('broken', 'checkpoints', 'latest'), 'utf8')).toBe(checkpoint);
      expect(readdirSync(at('broken', 'checkpoints')).filter((name) => name.startsWith('.'))).toEqual([]);

      const before = trainedSteps();
      const killed = start(folder, args);
      await until(() => trainedSteps() < before || trainedSteps() > before + 2);
      killed.child.kill('SIGKILL');
      expect((await killed.ended).code).toBe(null);

      const last = await run(folder, args);
      expect(last.code).toBe(0);
      expect(last.err).toMatch(/resumed at step \d+ of 40/);
      expect(numbers('broken')).toEqual(numbers('whole'));
      expect(readFileSync(at('broken', 'model.safetensors')).equals(readFileSync(at('whole', 'model.safetensors')))).toBe(true);
    },
    SLOW,
  );

  it('does not run a finished run again', async () => {
    const before = statSync(at('whole', 'result.json')).mtimeMs;
    const { code, err } = await run(folder, ['train', 'run.json', '--out', 'whole', '--resume']);
    expect(code).toBe(0);
    expect(err).toContain('this run is finished already');
    expect(statSync(at('whole', 'result.json')).mtimeMs).toBe(before);
  });
});

describe('a comparison', () => {
  it(
    'is taken up after a Ctrl-C, keeps finished runs, and writes the report',
    async () => {
      const { model: _model, ...shared } = config;
      await run(folder, ['train', 'run.json', '--set', 'model.attention=mha', '--set', 'tokens=1280', '--out', 'base']);
      const methods = [
        { name: 'MHA', attention: 'mha' },
        { name: 'GQA', attention: 'gqa:2' },
        { name: 'random', attention: 'mixsga:3:1:6', router: 'random' },
      ];
      const comparison = { ...shared, kind: 'comparison', from: 'base', methods, concurrency: 1, evaluateEvery: 0 };
      await writeFile(at('compare.json'), JSON.stringify(comparison));
      const args = ['train', 'compare.json', '--out', 'compared', '--resume'];
      const first = start(folder, args);
      await until(() => metricRows(at('compared', 'runs', 'gqa-seed0', 'metrics.jsonl')).length > 0);
      first.child.kill('SIGINT');
      expect(await first.ended).toMatchObject({
        code: 130,
        err: expect.stringMatching(/continue with: mixsga train compare\.json --out compared --resume\n$/) as string,
      });
      expect(existsSync(at('compared', 'runs', 'gqa-seed0', 'checkpoints', 'latest'))).toBe(true);
      const result = at('compared', 'runs', 'mha-seed0', 'result.json');
      const finished = statSync(result).mtimeMs;

      const second = await run(folder, args);
      expect(`${second.code} ${second.err}`).toMatch(/^0 /);
      expect(statSync(result).mtimeMs).toBe(finished);
      expect(second.out).toContain('GQA');
      const report = JSON.parse(readFileSync(at('compared', 'report.json'), 'utf8')) as { methods: Record<string, unknown>[] };
      expect(report.methods.map(({ name, attention, tokens }) => [name, attention, tokens])).toEqual([
        ['MHA', 'mha', 5120],
        ['GQA', 'gqa:2', 5120],
        ['random', 'mixsga:3:1:6', 5120],
      ]);
      expect(report.methods.map(({ kvBudget }) => kvBudget)).toEqual([1, 0.5, 0.5]);
      expect(existsSync(at('compared', 'report.md'))).toBe(true);
      // Every method saw the same tokens in the same order.
      const samplers = ['mha', 'gqa', 'random'].map(
        (name) => (JSON.parse(readFileSync(at('compared', 'runs', `${name}-seed0`, 'checkpoints', 'step-40', 'state.json'), 'utf8')) as { sampler: unknown }).sampler,
      );
      expect(samplers[1]).toEqual(samplers[0]);
      expect(samplers[2]).toEqual(samplers[0]);

      // A run that fails ends the comparison with its own line.
      const hopeless = ['--set', 'methods.1.learningRate=1e30', '--set', 'optimizer.clip=1e30', '--set', 'concurrency=2'];
      const failed = await run(folder, ['train', 'compare.json', ...hopeless, '--out', 'failed']);
      expect(failed.code).toBe(1);
      expect(failed.err.trimEnd().split('\n').at(-1)).toMatch(/^mixsga: GQA, seed 0: training: step \d+ has loss /);
    },
    SLOW,
  );
});

describe('the other commands', () => {
  it('convert writes a model that eval measures', async () => {
    await run(folder, ['train', 'run.json', '--set', 'model.attention=mha', '--set', 'tokens=256', '--out', 'plain']);
    const converted = await run(folder, ['convert', 'plain', '--attention', 'gqa:4', '--align', '--out', 'grouped']);
    expect(converted).toMatchObject({ code: 0, out: 'grouped: gqa:4, 25 % of the KV cache\n', err: '' });
    expect(JSON.parse(readFileSync(at('grouped', 'config.json'), 'utf8'))).toMatchObject({ mixsga: { attention: 'gqa:4', align: true } });
    const args = ['eval', 'grouped', '--tasks', 'perplexity,kv_accounting', '--data', 'corpus.txt', '--split', 'test', '--json'];
    const measured = await run(folder, args);
    expect(measured.code).toBe(0);
    expect(JSON.parse(measured.out)).toMatchObject({
      schema: 'mixsga/eval@2',
      attention: 'gqa:4',
      backend: 'wasm',
      split: 'test',
      routing: 'decode',
      results: { perplexity: { routing: 'decode' }, kv_accounting: { kvBudget: 0.25 } },
    });
  }, SLOW);

  it.each([
    ['facebook/opt-125m', 'mixsga:3:1:6', 73728, 36867],
    ['facebook/opt-125m', 'gqa:2', 73728, 36864],
    ['meta-llama/Llama-3.2-1B', 'mixsga:3:1:6', 65536, 32772],
    ['google/gemma-2-2b', 'mixsga:3:1:6', 212992, 106502],
  ])('inspect %s --attention %s gives the bytes of the paper', async (model, attention, kvBytesPerTokenFull, kvBytesPerToken) => {
    const { code, out } = await run(folder, ['inspect', model, '--attention', attention, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ kvBytesPerTokenFull, kvBytesPerToken, kvBudget: 0.5 });
  });

  it('backends --json lists every backend', async () => {
    const { code, out } = await run(folder, ['backends', '--json']);
    expect(code).toBe(0);
    const backends = JSON.parse(out) as { name: string; available: boolean; reason?: string }[];
    expect(backends.map(({ name }) => name)).toEqual(['wasm', 'cpu', 'webgpu', 'cuda']);
    expect(backends.every(({ available, reason }) => available !== (reason !== undefined))).toBe(true);
  });
});

describe('bad input ends with one line and the right exit code', () => {
  beforeAll(async () => {
    await writeFile(at('tiny.txt'), 'Too little.');
    await writeFile(at('empty.txt'), '');
    await writeFile(at('latin.txt'), Buffer.concat([Buffer.from('a'.repeat(30_000)), Buffer.from([0xe9, 0x20])]));
    await writeFile(at('broken.json'), '{"model": ');
  });

  it.each<[string[], number, RegExp]>([
    [['train', 'run.json', '--set', 'model.attention=mixsga:3:-1:6'], 2, /^mixsga: ratios: .*3:-1:6/],
    [['train', 'run.json', '--set', 'model.attention=mixsga:0:0:0'], 2, /^mixsga: ratios: .*0:0:0/],
    [['train', 'run.json', '--set', 'model.attention=mixsga:1:1@1,2,4'], 2, /^mixsga: .*(ratios|sizes)/],
    [['train', 'run.json', '--set', 'model.attention=gqa:3'], 2, /^mixsga: .*4 KV heads, got 3/],
    [['train', 'run.json', '--set', 'model.attention=nqa:3'], 2, /^mixsga: .*nqa:3/],
    [['train', 'run.json', '--set', 'optimizer.learnignRate=1'], 2, /^mixsga: run\.json: unknown key optimizer\.learnignRate; did you mean learningRate\?/],
    [['train', 'run.json', '--set', 'backend=vulkan'], 2, /^mixsga: run\.json: backend: expected one of .*"wasm".*, got "vulkan"/],
    [['train', 'run.json', '--set', 'data.corpus=tiny.txt'], 1, /^mixsga: tiny\.txt: /],
    [['train', 'run.json', '--set', 'data.corpus=empty.txt'], 1, /^mixsga: empty\.txt: /],
    [['train', 'run.json', '--set', 'data.corpus=latin.txt'], 1, /^mixsga: latin\.txt: not valid UTF-8 at byte 3000/],
    [['train', 'run.json', '--set', 'data.corpus=missing.txt'], 1, /^mixsga: missing\.txt: /],
    [['train', 'broken.json'], 1, /^mixsga: broken\.json: expected JSON/],
    [['train', 'nothing.json'], 2, /^mixsga: nothing\.json: no such preset or file/],
    [['eval', 'whole', '--backend', 'vulkan'], 2, /^mixsga: .*vulkan/],
    [['eval', 'nowhere'], 2, /^mixsga: model "nowhere": no such folder/],
    [['eval', 'plain', '--tasks', 'ruler', '--ruler-tasks', 'niah'], 2, /^mixsga: ruler: expected tasks among niah_single_1, .*, got niah$/],
    [['eval', 'plain', '--tasks', 'passkey', '--lengths', '100000'], 2, /^mixsga: passkey: expected lengths from 1 to \d+ tokens, the model's context length, got 100000$/],
    [['eval', 'whole', '--tasks', 'perplexitty'], 2, /^mixsga: evaluator: expected one of perplexity/],
    [['frobnicate'], 2, /^error: unknown command 'frobnicate'/],
    [['train'], 2, /^error: missing required argument 'config'/],
  ])('%j', async (args, code, message) => {
    const ended = await run(folder, args[0] === 'train' ? [...args, '--out', 'refused'] : args);
    expect({ ...ended, err: '' }).toEqual({ code, out: '', err: '' });
    const lines = ended.err.trimEnd().split('\n').filter((line) => !/^(corpus\.txt: |training a tokenizer|\(--help)/.test(line));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
    expect(existsSync(at('refused'))).toBe(false);
  });

  it('a model file that is cut short, and a folder that holds a run', async () => {
    const args = ['train', 'run.json', '--out', 'whole'];
    expect(await run(folder, args)).toMatchObject({ code: 2, err: expect.stringMatching(/^mixsga: whole: holds a run already; add --resume/) as string });
    const other = await run(folder, [...args, '--resume', '--set', 'seed=2']);
    expect(other).toMatchObject({ code: 2, err: expect.stringContaining('holds a run of other settings: seed was 0, is now 2') as string });
    const bytes = readFileSync(at('plain', 'model.safetensors'));
    await writeFile(at('plain', 'model.safetensors'), bytes.subarray(0, bytes.length - 100));
    expect(await run(folder, ['eval', 'plain', '--data', 'corpus.txt'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^mixsga: plain\/model\.safetensors: .*\n$/) as string,
    });
  });
});

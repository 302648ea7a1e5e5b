import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import type { Evaluator } from '../evaluator';
import { piqa } from '../multiple-choice/piqa';
import { perplexityEvaluator } from '../perplexity';
import { runEvaluator } from '../run';
import { BigramModel } from '../testing';
import { harnessResults, type MeasuredTask, parseHarnessResults, resultsFileName, samplesFileName } from '.';

const model = new BigramModel({ logits: Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => Math.sin(3 * i + 5 * j))) });
const startedAt = new Date('2026-01-31T12:00:00.250Z');
const options = { routing: 'decode', batchSize: 2, limit: 3 } as const;

async function taskOf(evaluator: Evaluator, more: Partial<MeasuredTask> = {}): Promise<MeasuredTask> {
  const row = (i: number) => ({ value: { goal: `be ${i}`, sol1: 'a', sol2: 'bb', label: i % 2 }, where: `line ${i}` });
  const data = { name: 'data', tokens: Int32Array.from({ length: 40 }, (_, i) => (i * i) % 9), rows: [0, 1, 2, 3].map(row) };
  const evaluation = await runEvaluator(evaluator, model, data, options);
  return { ...evaluation, name: evaluator.name, evaluator, data: 'data', available: 4, options, ...more };
}

const measured = async () => ({
  model: 'org/name',
  attention: 'gqa:2',
  router: undefined,
  backend: 'wasm',
  weights: 'f32',
  kv: model.kv,
  contextLength: 16,
  tasks: [
    await taskOf(piqa),
    await taskOf(perplexityEvaluator, { name: 'evicted', options: { ...options, cache: 'h2o:0.5', judge: { url: 'http://x', model: 'm', apiKey: 'secret' } } }),
  ],
});

describe('harnessResults', () => {
  it('writes what lm-evaluation-harness writes', async () => {
    const given = await measured();
    const written = await harnessResults(given, { startedAt, seconds: 1.5 });
    expect(JSON.parse(JSON.stringify(written))).toEqual(written);
    const { metrics } = given.tasks[0]!;
    expect(written).toMatchObject({
      results: {
        piqa: {
          name: 'piqa', alias: 'piqa', sample_len: 3,
          'acc,none': metrics.acc, 'acc_stderr,none': metrics.acc_stderr,
          'acc_norm,none': metrics.acc_norm, 'acc_norm_stderr,none': metrics.acc_norm_stderr,
        },
        evicted: { alias: 'evicted', sample_len: 3, 'perplexity,none': given.tasks[1]!.metrics.perplexity, 'perplexity_stderr,none': 'N/A' },
      },
      versions: { piqa: 1, evicted: 1 },
      'n-shot': { piqa: 0, evicted: 0 },
      higher_is_better: { piqa: { acc: true, acc_norm: true }, evicted: { perplexity: false, nll: false } },
      'n-samples': { piqa: { original: 4, effective: 3 } },
      config: { model: 'mixsga', model_args: 'pretrained=org/name,attention=gqa:2,weights=f32', batch_size: 2, device: 'wasm', limit: 3 },
      date: 1769860800.25,
      model_name: 'org/name',
      model_name_sanitized: 'org__name',
      total_evaluation_time_seconds: '1.5',
      mixsga: { schema: 'mixsga/results@1', attention: 'gqa:2', backend: 'wasm', weights: 'f32', tasks: { piqa: { definition: 'lm-evaluation-harness 0.4.13: piqa' } } },
    });
    expect(written.configs).toEqual({
      piqa: { task: 'piqa', dataset_path: 'data', description: '', num_fewshot: 0, metadata: { version: 1 } },
      evicted: { task: 'evicted', dataset_path: 'data', description: '', num_fewshot: 0, metadata: { version: 1 } },
    });
    expect([written.group_subtasks, written.max_length, written.config.model_dtype, written.git_hash, written.fewshot_as_multiturn]).toEqual([{}, 16, 'f32', null, false]);
    const int8 = await harnessResults({ ...given, kv: { ...model.kv, type: 'int8' }, tasks: [] }, { startedAt, seconds: 0 });
    expect(int8.config).toEqual({ model: 'mixsga', model_args: 'pretrained=org/name,attention=gqa:2,weights=f32,kv=int8', model_dtype: 'f32', batch_size: null, device: 'wasm', limit: null });
    const routed = await harnessResults({ ...given, attention: 'mixsga:1:1', router: 'random', tasks: [] }, { startedAt, seconds: 0 });
    expect([routed.config.model_args, routed.mixsga.router]).toEqual(['pretrained=org/name,attention=mixsga:1:1,router=random,weights=f32', 'random']);
    expect(Object.keys(written.task_hashes)).toEqual(['piqa']);
    expect(written.task_hashes.piqa).toMatch(/^[0-9a-f]{64}$/);
    expect(written.mixsga.tasks.evicted!.options).toEqual({ routing: 'decode', limit: 3, eviction: 'h2o:0.5', judge: { url: 'http://x', model: 'm' } });
    expect(JSON.stringify(written)).not.toContain('secret');
  });

  it('names files by their time', () => {
    expect(resultsFileName(startedAt)).toBe('results_2026-01-31T12-00-00.250000.json');
    expect(samplesFileName('piqa', startedAt)).toBe('samples_piqa_2026-01-31T12-00-00.250000.jsonl');
  });
});

describe('parseHarnessResults', () => {
  it('reads what was written', async () => {
    const given = await measured();
    const written = await harnessResults(given, { startedAt, seconds: 1 });
    const parsed = parseHarnessResults(JSON.parse(JSON.stringify(written)), 'r.json');
    expect(parsed).toMatchObject({ model: 'org/name', date: 1769860800.25, mixsga: written.mixsga });
    expect(parsed.tasks.piqa).toEqual({ metrics: given.tasks[0]!.metrics, higherIsBetter: { acc: true, acc_norm: true }, version: 1, documents: 3 });
    expect(parsed.tasks.evicted!.metrics.perplexity_stderr).toBeNull();
  });

  it.each([
    [[], 'expected an object of results, got []'],
    [{}, "expected results of lm-evaluation-harness or mixsga, found no 'results'"],
    [{ schema: 'mixsga/eval@1', results: {} }, 'expected results of the schema mixsga/results@1, got "mixsga/eval@1"; evaluate again with this version'],
    [{ results: {}, mixsga: { schema: 'mixsga/results@2' } }, 'expected results of the schema mixsga/results@1, got "mixsga/results@2"; evaluate again with this version'],
    [{ results: { piqa: { acc: 0.5, acc_stderr: 0.1 } } }, "expected metrics such as 'acc,none' in results.piqa, as lm-evaluation-harness writes them from 0.4 on, got"],
    [{ results: { piqa: { 'acc,none': 'half' } } }, `expected a finite number or "N/A" in results.piqa['acc,none'], got "half"`],
    [JSON.parse('{ "results": { "piqa": { "acc,none": 1e999 } } }'), `expected a finite number or "N/A" in results.piqa['acc,none'], got Infinity`],
    [{ results: { piqa: { 'acc,none': null } } }, `expected a finite number or "N/A" in results.piqa['acc,none'], got null`],
  ])('refuses %j', (json, message) => {
    expect(() => parseHarnessResults(json, 'r.json')).toThrow(FileError);
    expect(() => parseHarnessResults(json, 'r.json')).toThrow(`r.json: ${message}`);
  });
});

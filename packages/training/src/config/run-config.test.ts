import { readFileSync } from 'node:fs';

import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { comparisonConfig, planRuns } from '../comparison/config';
import { keepsBest, runConfig, totalSteps, warmupSteps } from './run-config';
import { applySettings, parseStrict } from './strict';

const minimal = {
  model: { from: 'sotu-mini', attention: 'gqa:2' },
  sequenceLength: 64,
  batchSize: 4,
  tokens: 10_000,
  optimizer: { learningRate: 1e-3 },
};

/** The message of the ArgumentError that parsing `value` as a run ends with. */
function refusal(value: unknown): string {
  try {
    parseStrict(runConfig, value, 'run.json');
  } catch (error) {
    expect(ArgumentError.isInstance(error)).toBe(true);
    return (error as Error).message;
  }
  throw new Error('was accepted');
}

describe('run configuration', () => {
  it('fills in the defaults of the paper', () => {
    const config = parseStrict(runConfig, minimal, 'run.json');
    expect(config.optimizer).toMatchObject({ beta1: 0.9, beta2: 0.95, weightDecay: 0.1, warmupRatio: 0.015, clip: 1 });
    expect(config).toMatchObject({ kind: 'run', accumulate: 1, backend: 'wasm', seed: 0, data: { corpus: 'sotu' } });
    expect(totalSteps(config, 7)).toBe(40); // 10,000 tokens in steps of 256, rounded up
    expect(warmupSteps(config, 40)).toBe(1);
    expect(keepsBest(config)).toBe(false);
  });

  it('trains on responses for some epochs, and keeps the best model', () => {
    const { tokens: _, ...rest } = minimal;
    const config = parseStrict(runConfig, { ...rest, epochs: 2.5, data: { instructions: 'dolly.jsonl' } }, 'run.json');
    expect(config.data).toMatchObject({ instructions: 'dolly.jsonl', corpus: undefined });
    expect(totalSteps(config, 7.3)).toBe(19);
    expect(keepsBest(config)).toBe(true);
    expect(keepsBest({ ...config, evaluateEvery: 0 })).toBe(false);
  });

  it('is unchanged by being parsed twice, so that run.json is a configuration', () => {
    const once = parseStrict(runConfig, minimal, 'run.json');
    expect(parseStrict(runConfig, JSON.parse(JSON.stringify(once)), 'run.json')).toEqual(once);
  });

  it.each([
    [{ ...minimal, sequenceLenght: 3 }, 'run.json: unknown key sequenceLenght; did you mean sequenceLength?'],
    [{ ...minimal, optimizer: { learningrate: 1 } }, 'run.json: unknown key optimizer.learningrate; did you mean learningRate?'],
    [{ ...minimal, model: { from: 'a', xyzzyplugh: 1 } }, 'run.json: unknown key model.xyzzyplugh; known keys: from, init, attention, router, align'],
    [{ ...minimal, model: { init: { layers: 1, hiddenSize: 8, heads: 2, ffnSize: 8, contextLength: 64 }, attention: 'gqa:2', align: true } }, 'run.json: model.align: expected model.from with it, got model.init'],
    [{ ...minimal, tasks: [{ task: 'perplexity', kvPolicy: 'oldest' }] }, 'run.json: tasks.0: kvPolicy: expected kvBudget with it, the bytes that it divides, got none'],
    [{ ...minimal, tasks: [{ task: 'perplexity', eviction: 'h2o' }] }, 'run.json: tasks.0: eviction: expected a limit above 0 after h2o, such as h2o:0.6 of the tokens, h2o:50% or h2o:65536B, got "h2o"'],
    [{ ...minimal, tasks: [{ task: 'perplexity', kvBudget: 9, kvPolicy: 'margin' }] }, 'run.json: tasks.0: kvPolicy: margin, by how sure routers were, was removed, since it lost more than any other policy (docs/log.md); use mean-attention'],
    [{ ...minimal, annealRatios: 0.5 }, 'run.json: annealRatios was removed, since it lost every time (docs/log.md); leave it out'],
    [{ ...minimal, routerLoss: { estimator: 'straight-through' } }, 'run.json: routerLoss.estimator: expected importance, since straight-through gained nothing and was removed (docs/log.md), got "straight-through"'],
    [{ ...minimal, routerLoss: { estimator: 'gumbel' } }, 'run.json: routerLoss.estimator: expected "importance", got "gumbel"'],
    [{ ...minimal, batchSize: '8' }, 'run.json: batchSize: expected number, got "8"'],
    [{ ...minimal, tokens: undefined }, 'run.json: tokens: expected exactly one of tokens and epochs, got neither'],
    [{ ...minimal, epochs: 1 }, 'run.json: epochs: expected exactly one of tokens and epochs, got both'],
    [{ ...minimal, data: { instructions: 'a.jsonl' } }, 'run.json: tokens: expected epochs in its place, with data.instructions'],
    [{ ...minimal, data: { corpus: 'sotu', instructions: 'a' } }, 'run.json: data: expected one of data.corpus and data.instructions, got both'],
    [{ ...minimal, data: { split: { test: 3 } } }, 'run.json: data: data.split and data.maxPromptTokens are of data.instructions; expected these with them'],
    [{ ...minimal, data: { instructions: 'a', textField: 'b' } }, 'run.json: data.textField: expected data.corpus with it, got data.instructions'],
    [{ ...minimal, data: { instructions: 'a', split: { valid: 3 } } }, 'run.json: unknown key data.split.valid; known keys: validation, test'],
    [{ ...minimal, tokens: 0, data: { instructions: 'a', maxPromptTokens: 64 } }, 'run.json: data.maxPromptTokens: expected less than sequenceLength, 64, got 64'],
    [{ ...minimal, keepBest: true, evaluateEvery: 0 }, 'run.json: keepBest: expected evaluateEvery above 0 with it, got 0'],
    [{ ...minimal, batchSize: -1 }, 'run.json: batchSize: expected number to be >0, got -1'],
    [{ ...minimal, model: {} }, 'run.json: model: expected exactly one of model.from and model.init'],
    ['text', 'run.json: configuration: expected object, got "text"'],
  ])('refuses %j in one line', (value, message) => {
    expect(refusal(value)).toBe(message);
  });
});

describe('the README', () => {
  it('has every key of a run', () => {
    const readme = readFileSync(new URL('../../../../apps/trainer/README.md', import.meta.url), 'utf8');
    const keys = leaves(z.toJSONSchema(runConfig, { io: 'input' }));
    expect(keys).toContain('optimizer.beta2');
    expect(keys.filter((key) => !readme.includes(`\`${key}\``))).toEqual([]);
  });
});

/** Dotted names of the settings in a JSON schema. */
function leaves(schema: z.core.JSONSchema.BaseSchema, path: string[] = []): string[] {
  if (!schema.properties) return [path.join('.')];
  return Object.entries(schema.properties).flatMap(([key, inner]) => leaves(inner as z.core.JSONSchema.BaseSchema, [...path, key]));
}

describe('applySettings', () => {
  it('sets dotted paths, makes what is missing, indexes lists, and leaves the original alone', () => {
    const config = { a: { b: 1 }, list: [{ x: 1 }, { x: 2 }] };
    const changed = applySettings(config, ['a.b=2', 'a.c.d=text', 'list.1.x=[3]', 'e=true', 'f=mixsga:3:1:6']);
    expect(changed).toEqual({ a: { b: 2, c: { d: 'text' } }, list: [{ x: 1 }, { x: [3] }], e: true, f: 'mixsga:3:1:6' });
    expect(config).toEqual({ a: { b: 1 }, list: [{ x: 1 }, { x: 2 }] });
  });

  it('refuses what is no setting', () => {
    expect(() => applySettings({}, ['novalue'])).toThrow('--set: expected key=value, got "novalue"');
    expect(() => applySettings({ a: 1 }, ['a.b=2'])).toThrow('--set: a in a.b is not an object or a list');
  });

  it('cannot reach a prototype', () => {
    applySettings({}, ['__proto__.polluted=1', 'constructor.prototype.polluted=1']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('comparison', () => {
  const comparison = {
    kind: 'comparison',
    from: 'sotu-mini',
    methods: [
      { name: 'MHA', attention: 'mha' },
      { name: 'mixSGA, no loss', attention: 'mixsga:3:1:6', alpha: 0, learningRate: 2e-3, router: 'random', align: true, distillation: { weight: 1 }, tasks: [{ task: 'routing' }] },
    ],
    seeds: [3, 4],
    sequenceLength: 64,
    batchSize: 4,
    tokens: 10_000,
    optimizer: { learningRate: 1e-3 },
    routerLoss: { alpha: 0.5 },
    distillation: { weight: 0.5 },
    tasks: [{ task: 'perplexity' }],
  };

  it('plans a run for each method and seed that differs in nothing but what the method says', () => {
    const runs = planRuns(parseStrict(comparisonConfig, comparison, 'c.json'));
    expect(runs.map((run) => run.folder)).toEqual([
      'mha-seed3',
      'mixsga-no-loss-seed3',
      'mha-seed4',
      'mixsga-no-loss-seed4',
    ]);
    const [plain, changed] = runs.map((run) => parseStrict(runConfig, run.config, run.folder));
    expect(changed).toEqual({
      ...plain,
      model: { from: 'sotu-mini', attention: 'mixsga:3:1:6', router: { kind: 'random' }, align: true },
      optimizer: { ...plain!.optimizer, learningRate: 2e-3 },
      routerLoss: { alpha: 0 },
      distillation: { weight: 1 },
      tasks: [{ task: 'perplexity', routing: 'decode' }, { task: 'routing', routing: 'decode' }],
    });
    expect(plain).toMatchObject({ distillation: { weight: 0.5 } });
  });

  it("refuses tasks of a method that have the name of a shared one", () => {
    const methods = [comparison.methods[0], { name: 'b', attention: 'gqa:2', tasks: [{ task: 'perplexity', maxWindows: 3 }] }];
    expect(() => parseStrict(comparisonConfig, { ...comparison, methods }, 'c.json')).toThrow(
      'c.json: methods.1.tasks: expected other names than those of the shared tasks, got perplexity',
    );
  });

  it('refuses methods and seeds that would share a folder', () => {
    const methods = [{ name: 'a b', attention: 'mha' }, { name: 'A-b', attention: 'gqa:2' }];
    expect(() => parseStrict(comparisonConfig, { ...comparison, methods }, 'c.json')).toThrow(
      'c.json: methods: expected names that differ in their letters and digits',
    );
    expect(() => parseStrict(comparisonConfig, { ...comparison, seeds: [1, 1] }, 'c.json')).toThrow('c.json: seeds: expected seeds that differ');
  });
});

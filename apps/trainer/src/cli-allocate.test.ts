import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { decodeSafetensors, encodeSafetensors, parseAttention } from '@mixsga/models';
import type { AllocatedModel } from '@mixsga/training/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run, writeCorpus } from './testing/command-line';

const SLOW = 120_000;
const MUTE = 1;

let folder: string;

/** sotu-mini, in which a layer's keys and values are zero: it loses nothing, whatever its ratios. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-allocate-'));
  await writeCorpus(folder);
  cpSync(fileURLToPath(new URL('../../../packages/models/zoo/sotu-mini', import.meta.url)), join(folder, 'model'), { recursive: true });
  const path = join(folder, 'model', 'model.safetensors');
  const tensors = decodeSafetensors(new Uint8Array(readFileSync(path)), path);
  for (const [name, { data }] of tensors) if (new RegExp(`layers\\.${MUTE}\\.self_attn\\.[kv]_proj`).test(name)) data.fill(0);
  writeFileSync(path, encodeSafetensors(tensors));
});
afterAll(() => rm(folder, { recursive: true }));

const allocate = (...args: string[]) => run(folder, ['allocate', 'model', '--data', 'corpus.txt', '--max-windows', '2', '--window-length', '64', ...args]);

async function allocated(...args: string[]): Promise<AllocatedModel> {
  const { code, out, err } = await allocate('--json', ...args);
  expect(`${code} ${err}`).toMatch(/^0 /);
  return JSON.parse(out) as AllocatedModel;
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;

describe('mixsga allocate', () => {
  it('takes from a layer that loses nothing, and meets the budget', async () => {
    const result = await allocated('--attention', 'mixsga:3:1:6', '--steps', '2');
    expect(result).toMatchObject({
      schema: 'mixsga/allocate@1', model: 'model', attention: 'mixsga:3:1:6', align: false, backend: 'wasm', weights: 'f32',
      corpus: 'corpus.txt', split: 'train', tokens: 128, windows: 2, windowLength: 64, budget: 0.5,
    });
    expect(result.layers.map(({ rungs }) => rungs.map(({ budget }) => Number(budget.toFixed(6))))).toEqual(Array(4).fill([0.25, 0.375, 0.5, 0.75, 1]));
    for (const [layer, { rungs }] of result.layers.entries()) {
      expect(rungs.at(-1)!.loss).toBe(0);
      // On made-up words grouping may help, but it makes a difference.
      for (const { loss } of rungs.slice(0, -1)) expect(Math.abs(loss) > 1e-5).toBe(layer !== MUTE);
    }
    expect(result.layers[MUTE]).toMatchObject({ ratios: [0, 0, 1], budget: 0.25 });
    expect(mean(result.layers.map(({ budget }) => budget))).toBeCloseTo(0.5, 9);
    expect(result.loss).toBeLessThan(result.uniformLoss);

    const { spec, experts, kvShare: kvBudget } = parseAttention(result.spec);
    expect(spec).toBe(result.spec);
    expect(spec).toMatch(/=0\.5$/);
    expect(kvBudget).toBeCloseTo(0.5, 3);
    for (const [layer, { ratios }] of result.layers.entries()) {
      experts!.ratiosOf(layer).forEach((ratio, e) => expect(ratio).toBeCloseTo(ratios[e]!, 3));
    }
    const inspected = await run(folder, ['inspect', 'model', '--attention', spec, '--json']);
    expect(JSON.parse(inspected.out)).toMatchObject({ attention: spec });
  }, SLOW);

  it('prints what was measured as a table, and the spec last', async () => {
    const { code, out } = await allocate('--attention', 'mixsga:1:1@1,8', '--align', '--steps', '1', '--budget', '0.3');
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toBe(
      'Nats a token lost when one layer keeps so much of its KV cache and every other 100 % (2 windows of 64 tokens of corpus.txt, train):',
    );
    expect(lines[1]).toMatch(/^layer +12\.5 % +56\.3 % +100 % +gets +ratios$/);
    expect(lines[2 + MUTE]).toMatch(/^ +2 +0\.0000 +0\.0000 +0\.0000 +12\.5 % +0:1$/);
    expect(lines[6]).toMatch(/^Sum over layers: -?\d\.\d{4}, with uniform ratios -?\d\.\d{4}\.$/);
    expect(lines[7]).toMatch(/^mixsga:([\d.:]+\/){3}[\d.:]+@1,8=0\.3$/);
    expect(parseAttention(lines[7]!).kvShare).toBeCloseTo(0.3, 3);
  }, SLOW);

  it.each([
    ['latent:3:1:6@4,8,16', [0.0625, 0.125, 0.25], /@4,8,16=0\.125$/],
    ['mixsga:1:1@2,k4v2', [0.375, 0.4375, 0.5], /@2,k4v2=0\.4375$/],
  ])('takes experts of other types: %s', async (attention, budgets, end) => {
    const { layers, spec } = await allocated('--attention', attention, '--steps', '1');
    expect(layers[0]!.rungs.map(({ budget }) => Number(budget.toFixed(6)))).toEqual(budgets);
    expect(layers[MUTE]!.rungs.map(({ loss }) => Math.abs(loss) < 1e-6)).toEqual([true, true, true]);
    expect(spec).toMatch(end);
  }, SLOW);

  it.each([
    [['--attention', 'gqa:2'], 2, 'mixsga: --attention: expected a variant whose tokens are routed to experts, such as mixsga:3:1:6, got gqa:2'],
    [['--attention', 'latent:1@4'], 2, 'mixsga: --attention: expected a variant whose tokens are routed to experts, such as mixsga:3:1:6, got latent:1@4'],
    [['--attention', 'mixsga:3:1:6', '--budget', '0.2'], 2, 'mixsga: allocateRatios: expected a budget from 0.25 to 1, which the ladder reaches, got 0.2'],
    [['--attention', 'mixsga:3:1:6', '--budget', '2'], 2, /--budget <share>.*expected a number above 0 and at most 1/],
    [['--attention', 'mixsga:1:1:1:1:1'], 2, /^mixsga: group sizes: expected divisors of the 8 KV heads, got 1, 2, 4, 8, 16; /],
    [['--attention', 'mixsga:1:1@2,k4v2', '--align'], 2, /^mixsga: convert: align is for a variant that groups the KV heads of keys and values alike/],
    [['--attention', 'mixsga:3:1:6', '--data', 'missing.txt'], 1, /^mixsga: missing\.txt: /],
    [['--attention', 'mixsga:3:1:6', '--steps', '0'], 2, /--steps <n>.*expected a whole number from 1 on/],
  ])('%j ends with one line', async (args, code, message) => {
    const ended = await allocate(...args);
    const lines = ended.err.trimEnd().split('\n').filter((line) => !/^(\(--help|windows: )/.test(line));
    expect({ code: ended.code, out: ended.out, lines: lines.length }).toEqual({ code, out: '', lines: 1 });
    expect(lines[0]).toEqual(typeof message === 'string' ? message : expect.stringMatching(message));
  }, SLOW);

  it('wants a model as published', async () => {
    await run(folder, ['convert', 'model', '--attention', 'gqa:2', '--out', 'grouped']);
    expect(existsSync(join(folder, 'grouped', 'config.json'))).toBe(true);
    const { code, err } = await run(folder, ['allocate', 'grouped', '--attention', 'mixsga:3:1:6', '--data', 'corpus.txt']);
    expect({ code, err }).toEqual({ code: 2, err: 'mixsga: convert: expected a checkpoint with mha attention, got gqa:2; convert the original model\n' });
  }, SLOW);
});

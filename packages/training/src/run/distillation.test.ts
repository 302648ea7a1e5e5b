import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startBackend } from '@mixsga/backend';
import { resolveModel } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';

import { runConfig, type RunConfigInput } from '../config/run-config';
import { Interrupted } from '../process/interruption';
import type { MetricRow } from '../optimisation/loop';
import { openModel, saveModel } from './model';
import { runTraining } from './run';

const short = { sequenceLength: 32, batchSize: 2, tokens: 384, optimizer: { learningRate: 1e-3 }, evaluateEvery: 0, finalEvaluationWindows: 2, checkpointEvery: 2, seed: 3 };

let folder: string;
beforeAll(async () => void (await startBackend('wasm')));
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-distil-'))));
afterEach(() => rm(folder, { recursive: true }));

/** Trains in a folder below, stopping after a step where one is given. @returns the rows of metrics.jsonl */
async function train(name: string, config: Partial<RunConfigInput>, { resume = false, stopAfter = Infinity } = {}): Promise<MetricRow[]> {
  const stop = new AbortController();
  const reporter = { progress: ({ step }: { step: number }) => void (step >= stopAfter && stop.abort()), activity: () => undefined, message: () => undefined, warning: () => undefined, done: () => undefined };
  const out = join(folder, name);
  await runTraining(runConfig.parse({ model: { from: 'sotu-mini' }, ...short, ...config }), out, { resume, signal: stop.signal, reporter }).catch((error: unknown) => {
    if (!(error instanceof Interrupted)) throw error;
  });
  const lines = (await readFile(join(out, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as MetricRow);
}

const without = (rows: MetricRow[]) => rows.map(({ tokensPerSecond: _, ...row }) => row);

it('a run draws its model to the one it came from, leaves no tensor, and goes on after a stop as if there had been none', async () => {
  const config = { model: { from: 'sotu-mini', attention: 'gqa:2' }, distillation: { weight: 1 } };
  const before = tf.memory().numTensors;
  const whole = await train('whole', config);
  expect(tf.memory().numTensors).toBe(before);
  expect(whole).toHaveLength(6);
  for (const { loss, kl } of whole) expect(loss).toBe(kl);
  expect(whole[0]!.kl).toBeGreaterThan(0.1);
  const plain = await train('plain', { ...config, distillation: { weight: 0 } });
  expect(plain[0]).not.toHaveProperty('kl');
  expect(plain[0]!.lm).toBeCloseTo(Number(whole[0]!.lm), 5);

  expect(await train('stopped', config, { stopAfter: 3 })).toHaveLength(3);
  expect(without(await train('stopped', config, { resume: true }))).toEqual(without(whole));
  await expect(train('stopped', { ...config, distillation: { weight: 0.5 } }, { resume: true })).rejects.toThrow('distillation.weight was 1, is now 0.5');
}, 60_000);

it('refuses a teacher that does not fit, and an estimator without use, before the folder is a run', async () => {
  const own = (name: string) => ({ model: { from: 'sotu-mini', attention: 'gqa:2' }, distillation: { weight: 0.5, teacher: join(folder, name) } });
  const init = { layers: 1, hiddenSize: 16, heads: 2, ffnSize: 16, contextLength: 16 };
  const saved = async (name: string, data: object) => {
    const open = await openModel(
      runConfig.parse({ ...short, model: { init }, data }), () => Promise.resolve(['the state of the union '.repeat(20)]), '', { message: () => undefined },
    );
    await saveModel(join(folder, name), open);
    open.model.dispose();
  };
  await saved('small', { vocabularySize: 280 });
  await expect(train('a', own('small'))).rejects.toThrow(`distillation.teacher: expected a vocabulary of 2048 tokens, as the model's own, got ${join(folder, 'small')} with 274`);
  const tokenizer = join((await resolveModel('sotu-mini')).directory, 'tokenizer.json');
  await saved('short', { tokenizer });
  await expect(train('a', own('short'))).rejects.toThrow(`distillation.teacher: expected a context of sequenceLength, 32, or more, got ${join(folder, 'short')} with 16`);
  const other = JSON.parse(await readFile(join(folder, 'short', 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number> } };
  const [[first, firstId], [second, secondId]] = Object.entries(other.model.vocab).slice(-2) as [[string, number], [string, number]];
  Object.assign(other.model.vocab, { [first]: secondId, [second]: firstId });
  await writeFile(join(folder, 'short', 'tokenizer.json'), JSON.stringify(other));
  await expect(train('a', own('short'))).rejects.toThrow(/distillation\.teacher: expected a model of the same tokenizer, got .*short, whose tokens are others/);
  await expect(train('a', { ...own('small'), distillation: { weight: 1, teacher: join(folder, 'none') } })).rejects.toThrow(join(folder, 'none'));
  const latent = { from: 'sotu-mini', attention: 'latent:3:1:6@4,8,16', router: { kind: 'balanced' as const } };
  const random = { from: 'sotu-mini', attention: 'mixsga:3:1:6', router: { kind: 'random' as const } };
  for (const [model, got] of [[latent, 'the experts of latent:3:1:6@4,8,16'], [random, 'a random router, which has nothing to train']] as const) {
    await expect(train('a', { model, routerLoss: { estimator: 'importance' } })).rejects.toThrow(
      `estimator: expected routers that learn, over experts that group heads, got ${got}; leave it out`,
    );
  }
  await expect(readFile(join(folder, 'a', 'run.json'))).rejects.toThrow('ENOENT');
  const withInit = { ...short, model: { init }, distillation: { weight: 1 } };
  expect(runConfig.safeParse(withInit).error!.issues[0]).toMatchObject({ path: ['distillation', 'teacher'], message: 'expected a model, since there is no model.from' });
}, 60_000);

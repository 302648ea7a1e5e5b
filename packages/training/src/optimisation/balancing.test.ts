// How the trainer keeps routers balanced: in each step, after the last one, and across an interruption.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { SeededRandom, startBackend, trackTensors } from '@mixsga/backend';
import { createTrainable, type LossOptions, parseModelConfig, randomParameters, type TrainableModel } from '@mixsga/models';
import type { RouterKind } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';

import { BatchSampler } from '../data/batch-sampler';
import { calibrate } from './calibrate';
import { CheckpointStore } from '../checkpoints/checkpoint';
import { initialConfig } from '../run/initial-model';
import { trainLoop } from './loop';
import { type Batch, Trainer } from './trainer';

const [LAYERS, LENGTH, VOCABULARY, STEPS] = [2, 16, 60, 6];
const RATIOS = [0.3, 0.1, 0.6];
const random = new SeededRandom(3);
const text = Int32Array.from({ length: 20_000 }, () => random.nextInt(VOCABULARY));
const heldOut = Int32Array.from({ length: 12_288 }, () => random.nextInt(VOCABULARY));
const samplerOf = () => new BatchSampler(text, { batchSize: 64, sequenceLength: LENGTH, seed: 1 });

function modelWith(router: RouterKind): Promise<TrainableModel> {
  const shape = initialConfig({ family: 'opt', layers: LAYERS, hiddenSize: 32, heads: 8, ffnSize: 32, contextLength: LENGTH }, VOCABULARY);
  const config = parseModelConfig({ ...shape, mixsga: { attention: 'mixsga:3:1:6', router, routerSeed: 4 } }, 'test');
  return createTrainable(config, randomParameters(config, 2));
}

function trainerOf(model: TrainableModel, learns: Pick<LossOptions, 'detach' | 'estimator'> = { detach: true, estimator: 'importance' }): Trainer {
  return new Trainer(model, {
    schedule: { learningRate: 3e-3, minLearningRateRatio: 0, warmupSteps: 1, totalSteps: STEPS },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    clip: 1,
    routerLoss: { alpha: 3, ...learns },
    sequenceLength: LENGTH,
  });
}

/** Values of the routers' variables, layer after layer. */
function routersOf(model: TrainableModel, name: string): number[] {
  return [...model.parameters()].flatMap(([key, variable]) => (key.endsWith(`.router.${name}`) ? [...variable.dataSync()] : []));
}

/** Share of held-out tokens that each expert gets in decoding, by layer. */
function sharesOf(model: TrainableModel): number[][] {
  return tf.tidy(() => {
    const inputs = tf.tensor2d(heldOut, [heldOut.length / LENGTH, LENGTH], 'int32');
    return model.routingOf(inputs, { routing: 'decode' }).map(({ decode }) => {
      const experts = [...decode.dataSync()];
      return RATIOS.map((_, expert) => experts.filter((each) => each === expert).length / experts.length);
    });
  });
}

function rows(ids: Int32Array, length = LENGTH): Batch {
  return { length, inputs: ids, targets: ids.map((id) => (id + 1) % VOCABULARY) };
}

let folder: string;
beforeAll(async () => void (await startBackend('wasm')));
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-balancing-'))));
afterEach(() => rm(folder, { recursive: true }));

it('holds the ratios after the last step to 1 % of held-out tokens in each layer', async () => {
  const model = await modelWith('balanced');
  const [trainer, sampler] = [trainerOf(model), samplerOf()];
  for (let step = 0; step < STEPS; step++) await trainer.takeStep([sampler.next()]);
  const trained = sharesOf(model);
  const before = routersOf(model, 'bias');
  const weights = routersOf(model, 'weight');
  const { tensors, buffers } = await trackTensors(() => calibrate(model, sampler, LENGTH));
  expect({ tensors, buffers }).toEqual({ tensors: 0, buffers: 0 });
  expect(routersOf(model, 'bias')).not.toEqual(before);
  expect(routersOf(model, 'weight')).toEqual(weights);
  const furthest = (shares: number[][]) => Math.max(...shares.flatMap((layer) => layer.map((share, e) => Math.abs(share - RATIOS[e]!))));
  expect(furthest(sharesOf(model))).toBeLessThan(Math.min(furthest(trained) / 3, 0.01));
  trainer.dispose();
  model.dispose();
});

it('calibrates nothing where nothing is balanced', async () => {
  const model = await modelWith('sigmoid');
  const before = routersOf(model, 'bias');
  const { tensors } = await trackTensors(() => calibrate(model, samplerOf(), LENGTH));
  expect(tensors).toBe(0);
  expect(routersOf(model, 'bias')).toEqual(before);
  model.dispose();
});

it('leaves padding out of the calibration', async () => {
  const biasesAfter = async (batch: Batch) => {
    const model = await modelWith('balanced');
    await calibrate(model, { next: () => batch }, LENGTH);
    const biases = routersOf(model, 'bias');
    model.dispose();
    return biases;
  };
  const short = rows(text.slice(0, 10 * 400), 10);
  const mask = Int32Array.from({ length: LENGTH * 400 }, (_, i) => Number(i % LENGTH < 10));
  const inputs = mask.map((real, i) => (real ? short.inputs[Math.floor(i / LENGTH) * 10 + (i % LENGTH)]! : 7));
  const [alone, padded] = [await biasesAfter(short), await biasesAfter({ ...rows(inputs), mask })];
  padded.forEach((bias, i) => expect(bias).toBeCloseTo(alone[i]!, 4));
});

it.each([
  ['two batches', (ids: Int32Array) => [rows(ids.slice(0, 128)), rows(ids.slice(128))]],
  ['batches of other sizes and padding', (ids: Int32Array) => {
    const wide = Int32Array.from({ length: 8 * 24 }, (_, i) => (i % 24 < LENGTH ? ids[128 + Math.floor(i / 24) * LENGTH + (i % 24)]! : 5));
    const padded = rows(wide, 24);
    return [rows(ids.slice(0, 64)), rows(ids.slice(64, 128)), { ...padded, targets: padded.targets.map((id, i) => (i % 24 < LENGTH ? id : -1)), mask: wide.map((_, i) => Number(i % 24 < LENGTH)) }];
  }],
])('a step of %s balances as one of a single batch with the same tokens', async (_, spread) => {
  const ids = text.slice(0, 256);
  const shape = initialConfig({ family: 'opt', layers: LAYERS, hiddenSize: 32, heads: 8, ffnSize: 32, contextLength: 24 }, VOCABULARY);
  const config = parseModelConfig({ ...shape, mixsga: { attention: 'mixsga:3:1:6', router: 'balanced', routerSeed: 4 } }, 'test');
  const after = async (batches: Batch[]) => {
    const model = await createTrainable(config, randomParameters(config, 2));
    const trainer = trainerOf(model);
    const { tensors } = await trackTensors(async () => {
      const { lm } = await trainer.takeStep(batches);
      expect(lm).toBeGreaterThan(3);
    });
    expect(tensors).toBe(0);
    const biases = routersOf(model, 'bias');
    trainer.dispose();
    model.dispose();
    return biases;
  };
  const [single, several] = [await after([rows(ids)]), await after(spread(ids))];
  expect(single.some((bias) => Math.abs(bias) > 0.1)).toBe(true);
  several.forEach((bias, i) => expect(bias).toBeCloseTo(single[i]!, 4));
});

it.each(['balanced', 'distortion'] as const)('a %s router goes on after an interruption as if there had been none', async (router) => {
  /** Trains from the newest checkpoint until the end, or a step. */
  const session = async (stopAt = Infinity) => {
    const model = await modelWith(router);
    const trainer = trainerOf(model, router === 'balanced' ? { detach: true, estimator: 'importance' } : {});
    const [sampler, checkpoints, controller] = [samplerOf(), new CheckpointStore(folder), new AbortController()];
    const restored = await checkpoints.restore({ model: model.parameters(), optimizer: trainer.adamw.state() });
    if (restored) sampler.restore(restored.sampler);
    trainer.step = restored?.step ?? 0;
    await trainLoop({
      model, trainer, sampler, checkpoints, totalSteps: STEPS, accumulate: 2, tokensBefore: 0, checkpointEvery: 100, evaluateEvery: 0,
      evaluate: () => Promise.resolve({}),
      record: () => undefined,
      onProgress: ({ step }) => void (step === stopAt && controller.abort()),
      signal: controller.signal,
    });
    const reached = trainer.step === STEPS;
    if (reached) await calibrate(model, sampler, LENGTH);
    const values = Object.fromEntries([...model.parameters()].map(([name, variable]) => [name, [...variable.dataSync()]]));
    trainer.dispose();
    model.dispose();
    return { reached, values };
  };
  const whole = await session();
  await rm(folder, { recursive: true });
  for (const stopAt of [1, 4]) expect((await session(stopAt)).reached).toBe(false);
  const resumed = await session();
  expect(resumed).toEqual(whole);
  // And once more from the last step, as after an interruption of what follows it.
  expect(await session()).toEqual(whole);
});

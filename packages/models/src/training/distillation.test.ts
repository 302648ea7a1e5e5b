import { startBackend, trackTensors } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertModel } from '../checkpoints/convert';
import { tinyConfig, type TinyForm, tinyTokens, tinyValues } from '../testing/tiny-models';
import { createTrainable, type LossOptions, type TrainableModel } from './model';

const [BATCH, LENGTH, VOCABULARY] = [2, 20, 50];
const rows = (ids: ArrayLike<number>): Tensor2D => tf.tensor2d(Int32Array.from(ids), [BATCH, ids.length / BATCH], 'int32');
/** The second sequence ends with padding, and with targets that don't count. */
const batchOf = () => {
  const targets = tinyTokens(BATCH * LENGTH, 2);
  targets.fill(-1, BATCH * LENGTH - 6);
  const mask = new Int32Array(BATCH * LENGTH).fill(1).fill(0, BATCH * LENGTH - 5);
  return { inputs: rows(tinyTokens(BATCH * LENGTH, 1)), targets: rows(targets), mask: rows(mask) };
};

function tinyModel(form: TinyForm, attention: string): Promise<TrainableModel> {
  const config = tinyConfig(form);
  const converted = convertModel(config, tinyValues(config, 5), attention, { routerSeed: 9 });
  return createTrainable(converted.config, converted.values);
}

beforeAll(async () => void (await startBackend('wasm')));

/** The numbers of a loss. */
function lossesOf(model: TrainableModel, batch: ReturnType<typeof batchOf>, options: Omit<LossOptions, 'alpha'>): Record<string, number | null> {
  const numbers: Record<string, number | null> = {};
  tf.tidy(() => {
    const { scores: _, ...losses } = model.loss(batch, { alpha: 2, ...options });
    for (const [name, value] of Object.entries(losses)) numbers[name] = value && value.dataSync()[0]!;
  });
  return numbers;
}

describe.each(['opt', 'gemma2'] as const)('distillation of %s', (form) => {
  it('measures the divergence from the teacher’s distribution over the targets that count, and weighs it', async () => {
    const [teacher, student] = [await tinyModel(form, 'mha'), await tinyModel(form, 'mixsga:3:1:6')];
    const batch = batchOf();
    const { grown, losses, plain } = await trackTensors(async () => {
      const predictions = teacher.predictions(batch);
      const losses = lossesOf(student, batch, { distillation: { teacher: predictions, weight: 0.75 } });
      predictions.x.dispose();
      return losses;
    }).then(({ result, tensors }) => ({ grown: tensors, losses: result, plain: lossesOf(student, batch, {}) }));
    expect(grown).toBe(0);

    // Padding is on the right, so that what is not padded has the teacher's logits without the mask; the student's has those of the mask.
    const [p, q] = [teacher, student].map((model) => tf.tidy(() => {
      const { x, w, softCap } = model.predictions(batch);
      const products = tf.matMul(x, w, false, true);
      return tf.logSoftmax(softCap === undefined ? products : tf.mul(tf.tanh(tf.div(products, softCap)), softCap)).dataSync<'float32'>();
    })) as [Float32Array, Float32Array];
    let sum = 0;
    const counted = BATCH * LENGTH - 6;
    for (let i = 0; i < counted * VOCABULARY; i++) sum += Math.exp(p[i]!) * (p[i]! - q[i]!);
    expect(sum / counted).toBeGreaterThan(1e-4);
    expect(losses.kl).toBeCloseTo(sum / counted, 5);
    expect(losses.lm).toBeCloseTo(plain.lm!, 5);
    expect(losses.prediction).toBeCloseTo(0.25 * losses.lm! + 0.75 * losses.kl!, 5);
    expect(losses.total).toBeCloseTo(losses.prediction! + 2 * losses.consistency!, 4);
    expect(plain).toMatchObject({ kl: null, prediction: plain.lm });
    for (const model of [teacher, student]) model.dispose();
  });

  it('learns the teacher, which stays as it is', async () => {
    const [teacher, student] = [await tinyModel(form, 'mha'), await tinyModel(form, 'gqa:2')];
    const batch = batchOf();
    const distillation = { teacher: teacher.predictions(batch), weight: 1 };
    const before = teacher.predictions(batch).x.dataSync<'float32'>().slice();
    const kl: number[] = [];
    for (let step = 0; step < 8; step++) {
      const variables = [...student.parameters().values()];
      const { value, grads } = tf.variableGrads(() => student.loss(batch, { alpha: 0, distillation }).total, variables);
      kl.push(value.dataSync()[0]!);
      for (const variable of variables) tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(grads[variable.name]!, 0.05))));
      tf.dispose([value, grads]);
    }
    expect(kl.at(-1)).toBeLessThan(0.7 * kl[0]!);
    kl.slice(1).forEach((value, i) => expect(value).toBeLessThan(kl[i]!));
    expect(teacher.predictions(batch).x.dataSync()).toEqual(before);
    for (const model of [teacher, student]) model.dispose();
  });
});

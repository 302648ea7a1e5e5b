// The models that train, against Hugging Face transformers: see tools/make_parity_fixtures.py and tools/make_training_fixtures.py.
import { adamwStep, type BackendName, describeBackends, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { convertConfig, convertedSource } from '../checkpoints/convert';
import { parseModelConfig } from '../families/index';
import { distance } from '../testing/decoding';
import { createTrainable, type TrainableModel, type TrainingBatch } from '../training/model';
import { EVERY, type Fixture, fixtures, readFixture, readTrainingFixture } from './fixture';
import { variants } from './variants';

/** ‖a − b‖ / ‖b‖ of a row, at most. */
const TOLERANCE = 1e-4;

function modelOf({ config: json, source }: Fixture, attention: string): Promise<TrainableModel> {
  const published = parseModelConfig(json, 'config.json');
  return createTrainable(convertConfig(published, attention), convertedSource(published, source, attention));
}

/** Logits of a text, row after row. */
async function logitsOf(model: TrainableModel, tokens: readonly number[], routing: 'prefill' | 'decode'): Promise<Float32Array[]> {
  const ids = tf.tensor2d([[...tokens]], undefined, 'int32');
  const logits = model.logits(ids, { routing });
  const values = await logits.data<'float32'>();
  tf.dispose([ids, logits]);
  const width = values.length / tokens.length;
  return tokens.map((_, t) => values.subarray(t * width, (t + 1) * width));
}

function gradientsOf(model: TrainableModel, batch: TrainingBatch): { loss: tf.Scalar; gradients: Map<string, tf.Tensor> } {
  const parameters = [...model.parameters()];
  const { value, grads } = tf.variableGrads(() => model.loss(batch, { alpha: 0 }).lm, parameters.map(([, variable]) => variable));
  return { loss: value, gradients: new Map(parameters.map(([name, { name: id }]) => [name, grads[id]!])) };
}

const backends = (await describeBackends()).filter(({ available }) => available);

describe.each(backends)('on $name', ({ name: backend, software }: { name: BackendName; software: boolean }) => {
  // A device that the processor stands in for is slow: a sample.
  const sample = <T>(all: readonly T[], keeps: (one: T) => boolean) => (software ? all.filter(keeps) : all);

  it.each(sample(fixtures, (name) => name === 'gemma2'))('%s has the logits of the reference at every position', async (name) => {
    await startBackend(backend);
    const fixture = await readFixture(name);
    const expected = await fixture.reference('logits');
    const model = await modelOf(fixture, 'mha');
    const got = await logitsOf(model, [...fixture.golden.prompt, ...fixture.golden.greedy], 'prefill');
    expected.forEach((row, t) => expect(distance(got[t]!, row), `token ${t}`).toBeLessThan(TOLERANCE));
    model.dispose();
  });

  it.each(sample(variants, ([name, attention]) => name === 'llama' && attention.startsWith('mixsga')))(
    '%s has those of %s, under both routings',
    async (name, attention) => {
      await startBackend(backend);
      const fixture = await readFixture(name);
      const { prompt } = fixture.golden;
      const model = await modelOf(fixture, attention);
      const together = await logitsOf(model, prompt, 'prefill');
      expect(distance(together.at(-1)!, (await fixture.reference(`${attention}/prefill`))[0]!)).toBeLessThan(TOLERANCE);
      const alone = await logitsOf(model, prompt, 'decode');
      const expected = await fixture.reference(`${attention}/decode`);
      for (let t = EVERY - 1, i = 0; t < prompt.length; t += EVERY, i++) {
        expect(distance(alone[t]!, expected[i]!), `token ${t}`).toBeLessThan(TOLERANCE);
      }
      model.dispose();
    },
  );

  it.each(sample(fixtures, (name) => name === 'gemma2'))('%s has the loss, the gradients and the steps of PyTorch on a padded batch', async (name) => {
    await startBackend(backend);
    const model = await modelOf(await readFixture(name), 'mha');
    const { inputs, targets, mask, losses, gradientNorms, optimizer } = await readTrainingFixture(name);
    const [x, y, m] = [inputs, targets, mask].map((rows) => tf.tensor2d(rows, undefined, 'int32')) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
    const batch = { inputs: x, targets: y, mask: m };
    const moments = new Map([...model.parameters()].map(([key, { shape }]) => [key, [0, 1].map(() => tf.variable(tf.zeros(shape)))] as const));
    for (const [step, expected] of losses.entries()) {
      const { loss, gradients } = gradientsOf(model, batch);
      expect(Math.abs((await loss.data())[0]! / expected - 1), `loss of step ${step}`).toBeLessThan(step === 0 ? 1e-5 : 1e-3);
      if (step === 0) {
        expect([...gradients.keys()].sort()).toEqual(Object.keys(gradientNorms).sort());
        for (const [key, gradient] of gradients) {
          const norm = (await tf.tidy(() => tf.norm(gradient)).data())[0]!;
          expect(Math.abs(norm - gradientNorms[key]!), key).toBeLessThan(1e-3 * gradientNorms[key]! + 1e-6);
        }
      }
      for (const [key, variable] of model.parameters()) {
        const [first, second] = moments.get(key)!;
        adamwStep(variable, gradients.get(key)!, first!, second!, { ...optimizer, step: step + 1, gradientScale: 1 });
      }
      tf.dispose([loss, ...gradients.values()]);
    }
    tf.dispose([x, y, m, ...[...moments.values()].flat()]);
    model.dispose();
  });
});

import { startBackend } from '@mixsga/backend';
import { loadModel, loadTokenizer, resolveModel, type TrainableModel } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { InstructionSampler } from '../data/instruction-sampler';
import { encodeExamples, type Example } from '../data/examples';
import { readInstructions } from '../data/instructions';
import { type Batch, Trainer } from './trainer';

let model: TrainableModel;
let examples: Example[];
beforeAll(async () => {
  await startBackend('wasm');
  const tokenizer = await loadTokenizer((await resolveModel('sotu-mini')).directory);
  const { parts } = await readInstructions('sotu');
  examples = (await encodeExamples(parts.test, tokenizer, { eos: 2, maxPromptTokens: 200, maxTokens: 256 })).slice(0, 8);
});

const tensorOf = (values: Int32Array, length: number) => tf.tensor2d(values, [values.length / length, length], 'int32');

async function lossOf({ inputs, targets, mask, length }: Required<Batch>): Promise<{ lm: number; consistency: number }> {
  const losses = tf.tidy(() => {
    const { lm, consistency } = model.loss({ inputs: tensorOf(inputs, length), targets: tensorOf(targets, length), mask: tensorOf(mask, length) }, { alpha: 3 });
    return tf.stack([lm, consistency]);
  });
  const [lm, consistency] = await losses.data();
  losses.dispose();
  return { lm: lm!, consistency: consistency! };
}

describe.each(['mha', 'mixsga:3:1:6'])('the loss of instructions: %s', (attention) => {
  beforeAll(async () => {
    model = await loadModel('sotu-mini', { attention, routerSeed: 1 });
  });
  afterAll(() => model.dispose());

  it('is the mean over the tokens of the responses, as rows by themselves without padding have them', async () => {
    let nll = 0;
    let counted = 0;
    for (const { tokens, prompt } of examples) {
      const [inputs, targets] = [tensorOf(tokens.slice(0, -1), tokens.length - 1), tensorOf(tokens.slice(1), tokens.length - 1)];
      const ofTokens = model.tokenNll(inputs, targets, { routing: 'prefill' });
      const ofResponse = [...(await ofTokens.data())].slice(prompt - 1);
      nll += ofResponse.reduce((sum, value) => sum + value, 0);
      counted += ofResponse.length;
      tf.dispose([inputs, targets, ofTokens]);
    }
    const batch = new InstructionSampler(examples, { batchSize: 8, padding: 2, seed: 1 }).next();
    expect(new Set(examples.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(4);
    expect((await lossOf(batch)).lm).toBeCloseTo(nll / counted, 5);
  });

  it('knows neither what the padding is nor how much there is of it', async () => {
    const batch = new InstructionSampler(examples, { batchSize: 8, padding: 2, seed: 1 }).next();
    const { lm, consistency } = await lossOf(batch);
    const other = await lossOf(new InstructionSampler(examples, { batchSize: 8, padding: 77, seed: 1 }).next());
    expect(other).toEqual({ lm, consistency });
    const length = batch.length + 9;
    const longer = (values: Int32Array, fill: number) =>
      Int32Array.from({ length: 8 * length }, (_, i) => (i % length < batch.length ? values[Math.floor(i / length) * batch.length + (i % length)]! : fill));
    const padded = await lossOf({ length, inputs: longer(batch.inputs, 5), targets: longer(batch.targets, -1), mask: longer(batch.mask, 0) });
    expect(padded.lm).toBeCloseTo(lm, 6);
    expect(padded.consistency).toBeCloseTo(consistency, 6);
  });

  it('takes the same step however rows are spread over accumulated batches', async () => {
    const step = async (batchSize: number) => {
      const options = { schedule: { learningRate: 1e-3, minLearningRateRatio: 0, warmupSteps: 1, totalSteps: 2 }, clip: 1, routerLoss: { alpha: 3 }, sequenceLength: 256 };
      const trainer = new Trainer(model, { ...options, optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0 } });
      const before = await values();
      const sampler = new InstructionSampler(examples, { batchSize, padding: 2, seed: 1 });
      const result = await trainer.takeStep(Array.from({ length: 8 / batchSize }, () => sampler.next()));
      trainer.dispose();
      for (const [name, variable] of model.parameters()) tf.tidy(() => variable.assign(tf.tensor(before.get(name)!, variable.shape)));
      return result;
    };
    const values = async () => {
      const all = new Map<string, Float32Array>();
      for (const [name, variable] of model.parameters()) all.set(name, (await variable.data()).slice() as Float32Array);
      return all;
    };
    const [whole, single] = [await step(8), await step(1)];
    expect(single.lm).toBeCloseTo(whole.lm, 5);
    expect(single.consistency).toBeCloseTo(whole.consistency, 5);
    expect(single.gradientNorm / whole.gradientNorm).toBeCloseTo(1, 4);
  });
});

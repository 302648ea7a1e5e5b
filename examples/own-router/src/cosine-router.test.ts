import { adamwStep, startBackend } from '@mixsga/backend';
import { createDecoder, createTokenizer, generateText, openCheckpoint, trainableOf, type TrainableModel } from '@mixsga/models';
import { registerRouter, routingStatistics } from '@mixsga/router';
import { routerChecks } from '@mixsga/router/testing';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { cosineRouter } from './cosine-router';

const TEXT = 'Fellow citizens of the Senate and of the House of Representatives: I congratulate you on the favorable state of our public affairs.';

beforeAll(async () => {
  registerRouter('cosine', cosineRouter);
  await startBackend('wasm');
});

describe('cosineRouter', () => {
  it.each(routerChecks)('$name', ({ run }) => run(cosineRouter));
});

describe('a model with it', () => {
  it('routes at the ratios, learns to decode as it was routed, and generates', async () => {
    const checkpoint = await openCheckpoint('sotu-mini');
    const { json, where } = await checkpoint.tokenizer();
    const tokenizer = createTokenizer(json, where);
    const model = await trainableOf(checkpoint, { attention: 'mixsga:3:1:6', router: 'cosine', routerSeed: 1 });
    await checkpoint.tensors.close();
    expect(model.config.mixsga?.router).toBe('cosine');
    const tokens = tokenizer.encode(TEXT);
    const [inputs, targets] = [tokens.slice(0, -1), tokens.slice(1)].map((ids) => tf.tensor2d(ids, [1, ids.length], 'int32')) as [Tensor2D, Tensor2D];

    const before = await agreement(model, inputs);
    const consistency = trainRouters(model, { inputs, targets }, 30);
    expect(consistency.at(-1)!).toBeLessThan(0.8 * consistency[0]!);
    expect(await agreement(model, inputs)).toBeGreaterThan(before);

    const decoder = await createDecoder(model.config, model.source());
    const { tokens: written } = await generateText(decoder, tokenizer, 'Fellow citizens', { maxNewTokens: 5 });
    expect(written).toHaveLength(5);
    decoder.dispose();
    model.dispose();
    tf.dispose([inputs, targets]);
  });
});

/** Share of the tokens for which both decisions are the same, the mean over layers. */
async function agreement(model: TrainableModel, inputs: Tensor2D): Promise<number> {
  const layers = model.routingOf(inputs, { routing: 'prefill' });
  const shares: number[] = [];
  for (const { prefill, decode, scores } of layers) {
    const { agreement, ratios } = await routingStatistics(prefill, decode, 3);
    expect(ratios.prefill[0]).toBeCloseTo(0.3, 1);
    shares.push(agreement);
    tf.dispose([prefill, decode, scores]);
  }
  return shares.reduce((a, b) => a + b) / shares.length;
}

/** Some steps of the routers on one text. @returns the consistency loss of each */
function trainRouters(model: TrainableModel, batch: { inputs: Tensor2D; targets: Tensor2D }, steps: number): number[] {
  const parameters = [...model.parameters()].flatMap(([name, variable]) => (name.includes('.router.') && variable.trainable ? [variable] : []));
  const moments = parameters.map(({ shape }) => [0, 1].map(() => tf.variable(tf.zeros(shape))));
  const options = { learningRate: 0.02, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, gradientScale: 1 };
  const losses = Array.from({ length: steps }, (_, step) => tf.tidy(() => {
    const { value, grads } = tf.variableGrads(() => model.loss(batch, { alpha: 1 }).consistency, parameters);
    parameters.forEach((parameter, i) => adamwStep(parameter, grads[parameter.name]!, moments[i]![0]!, moments[i]![1]!, { ...options, step: step + 1 }));
    return value.dataSync()[0]!;
  }));
  tf.dispose(moments.flat());
  return losses;
}

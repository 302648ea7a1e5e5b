import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adamwStep, startBackend } from '@mixsga/backend';
import { formatChecks } from '@mixsga/experts/testing';
import { companionFiles, createTokenizer, fromPretrained, generateText, openCheckpoint, registerAttention, saveModel, trainableOf, type TrainableModel } from '@mixsga/models';
import { attentionKindChecks } from '@mixsga/models/testing';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leading } from './attention';
import { leadingHead } from './leading-head';
import { signs, signsAttention } from './signs';

const ATTENTION = 'leading:3:1:6';
const TEXT = 'Fellow citizens of the Senate and of the House of Representatives: I congratulate you on the favorable state of our public affairs.';
let folder: string;

beforeAll(async () => {
  registerAttention('leading', leading);
  registerAttention('signs', signsAttention);
  await startBackend('wasm');
  folder = await mkdtemp(join(tmpdir(), 'own-expert-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each([ATTENTION, 'leading:1@4', 'signs'])('%s', (spec) => {
  it.each(attentionKindChecks)('$name', ({ run }) => run(spec));
});

describe('leadingHead', () => {
  it.each(formatChecks)('$name', ({ run }) =>
    run((layout) => [1, 2, layout.kvHeads].map((groupSize) => leadingHead({ ...layout, groupSize }))),
  );
});

describe('signs', () => {
  it.each(formatChecks)('$name', ({ run }) => run((layout) => [signs(layout)]));

  it('are a bit a number in the cache, a float32 a head, and what attention sees, in steps as in one pass and from a restored cache', async () => {
    const { decoder, tokenizer } = await fromPretrained('sotu-mini', { attention: 'signs' });
    const exact = await fromPretrained('sotu-mini');
    const tokens = Int32Array.from(tokenizer.encode(TEXT));
    const targets = Int32Array.from([...tokens.subarray(1), -1]);
    const { nll } = await decoder.likelihood(tokens, targets, { routing: 'decode' });
    const { nll: without } = await exact.decoder.likelihood(tokens, targets, { routing: 'decode' });
    const mean = (values: Float32Array) => values.reduce((a, b) => a + b) / (values.length - 1);
    expect(mean(nll)).toBeGreaterThan(mean(without) + 0.1);
    let cache = decoder.createCache();
    for (let t = 0; t + 1 < tokens.length; t++) {
      if (t === 40) {
        const restored = await decoder.restoreCache(await cache.serialise());
        cache.dispose();
        cache = restored;
      }
      const { logits: values } = await decoder.step(tokens.subarray(t, t + 1), [cache], { want: 'logits' });
      expect(Math.abs(nll[t]! - negativeLogLikelihood(values!, targets[t]!)), `token ${t}`).toBeLessThan(1e-4);
    }
    // 4 layers, 8 heads of keys and as many of values, of 16 bits and a scale.
    expect(cache.bytes().used).toBe(cache.tokensSeen * 4 * 16 * (2 + 4));
    for (const each of [decoder, exact.decoder]) each.dispose();
    await expect(fromPretrained('sotu-mini', { attention: 'signs', kv: 'int8' })).rejects.toThrow(
      'kv: expected no element type for signs, which packs all that it stores to bits of its own, got int8; leave it out',
    );
  });

  it('share their scales under a KV budget, as the shared form reads them, and from a restored cache', async () => {
    const { decoder, tokenizer } = await fromPretrained('sotu-mini', { attention: 'signs' });
    const tokens = Int32Array.from(tokenizer.encode(TEXT));
    const budget = { cache: 'oldest:60%', maxTokens: tokens.length + 1 };
    let cache = decoder.createCache(budget);
    const logits: Float32Array[] = [];
    for (let t = 0; t < tokens.length; t++) {
      if (t === 40) {
        const restored = await decoder.restoreCache(await cache.serialise());
        cache.dispose();
        cache = restored;
      }
      logits.push((await decoder.step(tokens.subarray(t, t + 1), [cache], { want: 'logits' })).logits!.slice());
      expect(cache.bytes().used).toBeLessThanOrEqual(cache.budget!);
    }
    // 16 heads of 16 bits, and a scale each, or two for all.
    expect(cache.stored).toEqual([{ heads: 16, headDim: 16, bytes: 16 * (2 + 4) }, { heads: 16, headDim: 16, bytes: 16 * 2 + 2 * 4 }]);
    expect(cache.formats.map(({ name }) => name)).toEqual(['signs', 'signs:shared']);
    expect(cache.tokensKept(0)).toBe(tokens.length);
    expect(cache.expertCounts()[1]).toBeGreaterThan(4 * 0.5 * tokens.length);
    // What attention sees of a coarsened token are its signs, at the mean of the sizes.
    const { segments } = cache.view(0);
    const { k } = await segments[1]!.store.read(segments[1]!.pages[0]!, 1);
    expect(new Set(Array.from(k.subarray(0, 8 * 16), Math.abs)).size).toBe(1);
    expect(() => decoder.createCache({ ...budget, cache: 'oldest@2:60%' })).toThrow('cache: expected no sizes for signs, whose coarser forms are signs:shared, got 2');
    decoder.dispose();
  });
});

describe('a model with experts of it', () => {
  it('is converted from the shipped one, learns, and is saved', async () => {
    const checkpoint = await openCheckpoint('sotu-mini');
    const { json, where } = await checkpoint.tokenizer();
    const tokens = createTokenizer(json, where).encode(TEXT);
    const model = await trainableOf(checkpoint, { attention: ATTENTION, routerSeed: 1 });
    const losses = train(model, tokens, 6);
    expect(losses.at(-1)!).toBeLessThan(0.8 * losses[0]!);
    await saveModel(model, join(folder, 'trained'), { files: await companionFiles(checkpoint) });
    model.dispose();
    await checkpoint.tensors.close();
  });

  it('decodes step by step as in one pass, out of a cache of the bytes that it promises', async () => {
    const { decoder, tokenizer, config } = await fromPretrained(join(folder, 'trained'));
    expect(config.mixsga?.attention).toBe(ATTENTION);
    const tokens = Int32Array.from(tokenizer.encode(TEXT));
    const targets = Int32Array.from([...tokens.subarray(1), -1]);
    const { nll } = await decoder.likelihood(tokens, targets, { routing: 'decode' });
    const cache = decoder.createCache();
    for (let t = 0; t + 1 < tokens.length; t++) {
      const { logits: values } = await decoder.step(tokens.subarray(t, t + 1), [cache], { want: 'logits' });
      expect(Math.abs(nll[t]! - negativeLogLikelihood(values!, targets[t]!)), `token ${t}`).toBeLessThan(1e-4);
    }
    // 8 KV heads of 16 numbers, or 4, or 2, for keys and for values, and 2 bits for each layer's token.
    const [full, half, quarter] = cache.expertCounts() as [number, number, number];
    const index = 4 * Math.ceil((2 * cache.tokensSeen) / 8);
    expect(cache.bytes().used).toBe(4 * 2 * 16 * (8 * full + 4 * half + 2 * quarter) + index);
    const { tokens: written } = await generateText(decoder, tokenizer, 'Fellow citizens', { maxNewTokens: 5 });
    expect(written).toHaveLength(5);
    decoder.dispose();
  });
});

/** Some steps on one text. @returns the loss of each */
function train(model: TrainableModel, tokens: readonly number[], steps: number): number[] {
  const row = (ids: readonly number[]): Tensor2D => tf.tensor2d([...ids], [1, ids.length], 'int32');
  const batch = { inputs: row(tokens.slice(0, -1)), targets: row(tokens.slice(1)) };
  const parameters = [...model.parameters().values()].filter(({ trainable }) => trainable);
  const moments = parameters.map(({ shape }) => [0, 1].map(() => tf.variable(tf.zeros(shape))));
  const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, gradientScale: 1 };
  const losses = Array.from({ length: steps }, (_, step) => tf.tidy(() => {
    const { value, grads } = tf.variableGrads(() => model.loss(batch, { alpha: 1 }).total, parameters);
    parameters.forEach((parameter, i) => {
      const gradient = grads[parameter.name];
      if (gradient) adamwStep(parameter, gradient, moments[i]![0]!, moments[i]![1]!, { ...options, step: step + 1 });
    });
    return value.dataSync()[0]!;
  }));
  tf.dispose([batch.inputs, batch.targets, ...moments.flat()]);
  return losses;
}

function negativeLogLikelihood(logits: Float32Array, target: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) - logits[target]!;
}

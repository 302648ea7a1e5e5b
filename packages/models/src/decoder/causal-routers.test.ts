// Routers that decide token by token in prompts too: a prompt, a text in one pass and steps go to the same experts.
import { describeBackends, startBackend } from '@mixsga/backend';
import type { RouterKind } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createDecoder } from './create-decoder';
import { distance, feed, inOnePass } from '../testing/decoding';
import { tinyConfig, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';
import { createTrainable, type TrainableModel } from '../training/model';

const cases: readonly (readonly [RouterKind, TinyForm, string])[] = [
  ['balanced', 'opt', 'mixsga:3:1:6'],
  ['distortion', 'opt', 'mixsga:3:1:6'],
  ['distortion', 'llama', 'mixsga-root:1:1/1:3/0:1/2:1@1,2'],
  ['distortion', 'gemma2', 'mixsga:1:1@2,4'],
  ['distortion', 'gemma3', 'mixsga:1:1@2,4'],
  ['distortion', 'opt', 'latent:3:1:6@4,8,16'],
];
const BATCH = [4, 60] as const;

/** A model whose routers hold their ratios over a batch. */
async function balanced(router: RouterKind, form: TinyForm, attention: string, batch: readonly [number, number] = BATCH): Promise<TrainableModel> {
  const config = tinyConfig(form, attention, router);
  const model = await createTrainable(config, tinyValues(config, 5));
  const inputs = tf.tensor2d(tinyTokens(batch[0] * batch[1], 3), [...batch], 'int32');
  // Each layer's tokens depend on what the layers before decided.
  for (let pass = 0; pass < model.shape.layers; pass++) {
    const scores = model.balanceScores({ inputs });
    await model.balance([{ scores }], 1);
    tf.dispose(scores);
  }
  inputs.dispose();
  return model;
}

const backends = (await describeBackends()).filter(({ available }) => available);

describe.each(backends)('on $name', ({ name, software }) => {
  beforeAll(async () => void (await startBackend(name)));

  const [length, batch] = name === 'wasm' ? [40, BATCH] : [12, [2, 20] as const];

  // A device that the processor stands in for is slow.
  it.each(software ? cases.slice(1, 2) : cases)('%s, %s with %s: prompts, passes and steps route alike', async (router, form, attention) => {
    const model = await balanced(router, form, attention, batch);
    const decoder = await createDecoder(model.config, model.source());
    const tokens = tinyTokens(length, 2);
    for (const { prefill, decode } of await decoder.routingOf(tokens, { routing: 'prefill', promptTokens: length })) expect(prefill).toEqual(decode);

    const prompted = decoder.createCache();
    await decoder.prefill(tokens, prompted, { want: 'argMax' });
    const stepped = decoder.createCache();
    const logits = await feed(decoder, tokens, stepped);
    const experts = (cache: typeof stepped) => Array.from({ length: 4 }, (_, layer) => Array.from(tokens, (_, t) => cache.expertOf(layer, t)));
    expect(experts(stepped)).toEqual(experts(prompted));
    expect(new Set(experts(stepped).flat()).size).toBeGreaterThan(1);
    expect(distance(logits, await inOnePass(decoder, tokens, length))).toBeLessThan(1e-4);

    const trained = tf.tidy(() => tf.slice(model.logits(tf.tensor2d(tokens, [1, length], 'int32'), { routing: 'decode' }), [0, length - 1, 0], [1, 1, decoder.vocabularySize]));
    expect(distance(logits, await trained.data())).toBeLessThan(1e-4);
    trained.dispose();
    decoder.dispose();
    model.dispose();
  });
});

// Of models that tell positions from the first layer on: elsewhere the same token goes to the same expert wherever it is.
it.each(cases.filter(([, form]) => form === 'opt'))('%s, %s with %s holds its ratios over the tokens that it was balanced on', async (router, form, attention) => {
  await startBackend('wasm');
  const model = await balanced(router, form, attention);
  const inputs = tf.tensor2d(tinyTokens(BATCH[0] * BATCH[1], 3), [...BATCH], 'int32');
  const routed = model.routingOf(inputs, { routing: 'prefill' });
  for (const [layer, { prefill }] of routed.entries()) {
    const assigned = Array.from(await prefill.data());
    model.attention.experts!.ratiosOf(layer).forEach((ratio, expert) => {
      expect(Math.abs(assigned.filter((e) => e === expert).length / assigned.length - ratio)).toBeLessThan(0.02);
    });
  }
  tf.dispose(routed.flatMap((each) => Object.values(each)));
  inputs.dispose();
  model.dispose();
});

it('a distortion router passes no gradient, and leaves nothing to an optimizer', async () => {
  await startBackend('wasm');
  const model = await balanced('distortion', 'opt', 'mixsga:3:1:6');
  const [inputs, targets] = [1, 2].map((seed) => tf.tensor2d(tinyTokens(60, seed), [2, 30], 'int32')) as [tf.Tensor2D, tf.Tensor2D];
  const names = [...model.parameters()].filter(([name]) => name.includes('.router.'));
  expect(names.map(([name]) => name.split('.').at(-1))).toEqual(Array.from({ length: 4 }, () => ['energy', 'bias']).flat());
  expect(names.every(([, variable]) => !variable.trainable)).toBe(true);
  const loss = tf.tidy(() => {
    const { total, lm, consistency } = model.loss({ inputs, targets }, { alpha: 3 });
    return [total, lm, consistency].map((each) => each.dataSync()[0]!);
  });
  expect(loss[0]).toBeCloseTo(loss[1]!, 5);
  expect(loss[2]).toBe(0);
  tf.dispose([inputs, targets]);
  model.dispose();
});

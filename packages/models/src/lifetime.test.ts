// Nothing can be done with a model that is disposed, or while another backend than its own is the active one.
import { ArgumentError, BackendError, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, test } from 'vitest';
import { createDecoder, createTrainable, languageModel, type CachedDecoder, type TrainableModel } from './index';
import { tinyConfig, tinyTokens, tinyValues } from './testing/tiny-models';

const config = tinyConfig('opt', 'mixsga:1:1:2');
const tokens = tinyTokens(6, 1);
const targets = tinyTokens(6, 2);

/** What a call of each kind is, with arguments that fit. */
type Calls<Subject> = Record<string, (subject: Subject) => unknown>;

/** Names of a class that are methods, but for `dispose`. */
function methodsOf(prototype: object): string[] {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .filter(([name, { value }]) => typeof value === 'function' && !['constructor', 'dispose'].includes(name))
    .map(([name]) => name);
}

async function failure(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected a failure, got none');
}

async function expectRefusals<Subject extends { dispose(): void }>(what: string, subject: Subject, calls: Calls<Subject>): Promise<void> {
  await startBackend('cpu');
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(() => call(subject));
    expect(error, name).toBeInstanceOf(BackendError);
    expect(error.message).toMatch(new RegExp(`^\\w+: expected the backend wasm, on which this ${what} was made, got cpu; call startBackend\\('wasm'\\) first, or load`));
  }
  await startBackend('wasm');
  for (const call of Object.values(calls)) await call(subject);
  subject.dispose();
  subject.dispose();
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(() => call(subject));
    expect(error, name).toBeInstanceOf(ArgumentError);
    expect(error.message).toMatch(new RegExp(`^\\w+: this ${what} is disposed; load`));
  }
}

describe('after dispose, and on another backend, a refusal of every method of', () => {
  beforeEach(() => startBackend('wasm'));

  test('CachedDecoder', async () => {
    const decoder = await createDecoder(config, tinyValues(config, 1));
    const cache = decoder.createCache();
    const bytes = await cache.serialise();
    const calls: Calls<CachedDecoder> = {
      createCache: (d) => d.createCache(),
      restoreCache: (d) => d.restoreCache(bytes),
      prefill: (d) => d.prefill(tokens, cache, { want: 'argMax' }),
      step: (d) => d.step(tokens.subarray(0, 1), [cache], { want: 'argMax' }),
      likelihood: (d) => d.likelihood(tokens, targets, { routing: 'decode' }),
      routingOf: (d) => d.routingOf(tokens, { routing: 'decode' }),
    };
    expect(Object.keys(calls).sort()).toEqual(methodsOf(Object.getPrototypeOf(decoder) as object).sort());
    await expectRefusals('decoder', decoder, calls);
    await expect(cache.serialise()).rejects.toThrow('KvCache.fork: this cache is disposed');
  });

  test('LanguageModel', async () => {
    const decoder = await createDecoder(config, tinyValues(config, 1));
    const tokenizer = { encode: () => [1], decode: () => '', tokenId: () => undefined, vocabularySize: 50 };
    const model = { ...languageModel({ decoder, tokenizer, config, stopTokens: [], prefixToken: null } as never), dispose: () => decoder.dispose() };
    const calls: Calls<typeof model> = {
      likelihood: (m) => m.likelihood(tokens, targets, { windows: 2, routing: 'decode' }),
      routingOf: (m) => m.routingOf(tokens, { windows: 2, routing: 'decode' }),
      streamNll: (m) => m.streamNll(tokens, targets, { windows: 2 }),
      generate: (m) => m.generate([tokens], { maxNewTokens: 2 })[Symbol.asyncIterator]().next(),
    };
    expect(Object.keys(calls).sort()).toEqual(methodsOf(model).sort());
    await expectRefusals('decoder', model, calls);
  });

  test('TrainableModel', async () => {
    const model = await createTrainable(config, tinyValues(config, 1));
    const batch = () => ({ inputs: tf.tensor2d(tokens, [1, 6], 'int32'), targets: tf.tensor2d(targets, [1, 6], 'int32') });
    const source = model.source();
    const calls: Calls<TrainableModel> = {
      parameters: (m) => m.parameters(),
      checkEstimator: (m) => m.checkEstimator(),
      source: (m) => m.source(),
      loss: (m) => m.loss(batch(), { alpha: 1 }),
      balance: (m) => m.balance([], 1),
      balanceScores: (m) => m.balanceScores(batch()),
      predictions: (m) => m.predictions(batch()),
      tokenNll: (m) => m.tokenNll(batch().inputs, batch().targets, { routing: 'decode' }),
      logits: (m) => m.logits(batch().inputs, { routing: 'decode' }),
      routingOf: (m) => m.routingOf(batch().inputs, { routing: 'decode' }),
    };
    expect(Object.keys(calls).sort()).toEqual(methodsOf(Object.getPrototypeOf(model) as object).sort());
    const reading = { ...calls, read: () => source.read('model.decoder.embed_tokens.weight') };
    await expectRefusals('model', model, reading);
  });
});

import { ArgumentError, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { createDecoder } from '../decoder/create-decoder';
import { distance, inOnePass } from '../testing/decoding';
import { createTrainable } from '../training/model';
import { tinyConfig, tinyTokens, tinyValues } from '../testing/tiny-models';
import type { ModelFamily } from './family';
import { families, familyNamed, familyNames, parseModelConfig, registerFamily } from './index';
import { type LlamaConfig } from './llama/config';

const { llama } = families;

/** Llama under a name of its own, whose attention reads half of what the norm gives. */
const halved: ModelFamily<LlamaConfig> = {
  ...llama,
  parse: (json, where) => ({ ...llama.parse({ ...(json as object), model_type: 'llama' }, where), model_type: 'own-halved' as 'llama' }),
  async load(config, loader) {
    const transformer = await llama.load(config, loader);
    return {
      ...transformer,
      startLayer(layer, a, rows) {
        const normed = transformer.startLayer(layer, a, rows);
        loader.runtime.scale(normed, 0.5, rows);
        return normed;
      },
    };
  },
};

it('makes a family of another package one like those of this one', async () => {
  await startBackend('wasm');
  registerFamily('own-halved', halved);
  registerFamily('own-halved', halved);
  expect(familyNames()).toEqual([...Object.keys(families), 'own-halved']);
  const tiny = tinyConfig('llama');
  const config = parseModelConfig({ ...tiny, model_type: 'own-halved' }, 'config.json');
  const values = tinyValues(tiny, 1);
  /** The same as halved projections of keys and values, since queries are projected before. */
  const expected = new Map([...values].map(([name, array]) => [name, /[kv]_proj/.test(name) ? array.map((value) => value / 2) : array]));
  const logits = await Promise.all([[config, values], [tiny, expected], [tiny, values]].map(async ([each, weights]) => {
    const decoder = await createDecoder(each as typeof tiny, weights as typeof values);
    const found = await inOnePass(decoder, tinyTokens(12, 1), 12);
    decoder.dispose();
    return found;
  }));
  expect(distance(logits[0]!, logits[1]!)).toBeLessThan(1e-5);
  expect(distance(logits[0]!, logits[2]!)).toBeGreaterThan(0.01);
});

it.each([
  ['registerFamily: expected a name that is free, got llama', 'llama'],
  ['registerFamily: expected a name of small letters, digits, hyphens and underscores, got "My model"', 'My model'],
])('refuses: %s', (message, name) => {
  expect(() => registerFamily(name, halved)).toThrow(message);
});

it.each<[string, object]>([
  ['expected sized to be a function, got nothing', { sized: undefined }],
  ['expected heads to be an object, got nothing', { heads: undefined }],
  ['expected heads.keyTurns to be an object, got "any"', { heads: { ...llama.heads, keyTurns: 'any' } }],
  ['expected heads.queryKeyNorm to be one of head, all, got "each"', { heads: { ...llama.heads, queryKeyNorm: 'each' } }],
])('refuses a family that lacks something: %s', (message, part) => {
  expect(() => registerFamily('own-part', { ...llama, ...part } as unknown as ModelFamily)).toThrow(new ArgumentError(`registerFamily: own-part: ${message}`));
  expect(familyNames()).not.toContain('own-part');
});

it('refuses a family that reads configurations as those of another', () => {
  registerFamily('own-renamed', { ...llama, parse: (json, where) => llama.parse({ ...(json as object), model_type: 'llama' }, where) });
  expect(() => parseModelConfig({ ...tinyConfig('llama'), model_type: 'own-renamed' }, 'config.json')).toThrow(
    new ArgumentError('family own-renamed: expected parse to keep model_type own-renamed, by which it is registered, got "llama"'),
  );
});

it('names the parameter that a forward pass reads and the family does not list', async () => {
  await startBackend('wasm');
  const parsed: ModelFamily['parse'] = (json, where) => ({ ...llama.parse({ ...(json as object), model_type: 'llama' }, where), model_type: 'own-unlisted' as 'llama' });
  registerFamily('own-unlisted', { ...llama, parse: parsed, parameters: (config, attention) => llama.parameters(config as LlamaConfig, attention).filter(({ name }) => !name.includes('up_proj')) } as ModelFamily);
  const config = parseModelConfig({ ...tinyConfig('llama'), model_type: 'own-unlisted' }, 'config.json');
  const values = tinyValues(tinyConfig('llama'), 1);
  const message = 'expected a parameter model.layers.0.mlp.up_proj.weight, which the forward pass reads, among the `parameters` of the family, and there is none';
  await expect(createDecoder(config, values)).rejects.toThrow(new ArgumentError(message));
  const model = await createTrainable(config, values);
  const inputs = tf.tensor2d([[1, 2, 3]], [1, 3], 'int32');
  expect(() => model.logits(inputs, { routing: 'prefill' })).toThrow(new ArgumentError(message));
  inputs.dispose();
  model.dispose();
});

it('names the families when there is none of a name', () => {
  expect(() => familyNamed('mamba')).toThrow(/^expected a family of opt, llama, gemma2, gemma3_text, qwen3, olmo2.*, got "mamba"; a plugin may register it \(--plugin, registerFamily\)$/);
});

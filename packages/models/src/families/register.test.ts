import { startBackend } from '@mixsga/backend';
import { expect, it } from 'vitest';
import { createDecoder } from '../decoder/create-decoder';
import { distance, inOnePass } from '../testing/decoding';
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

it('names the families when there is none of a name', () => {
  expect(() => familyNamed('mamba')).toThrow(/^expected a family of opt, llama, gemma2, gemma3_text, qwen3, olmo2.*, got "mamba"; register your own by registerFamily$/);
});

// The models of every family are what evaluators take.
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { startBackend, type WeightType } from '@mixsga/backend';
import type { LanguageModel } from '@mixsga/evaluators';
import { describeLanguageModel } from '@mixsga/evaluators/testing';
import { fromPretrained, languageModel, type Pretrained } from '@mixsga/models';

const fixtures = fileURLToPath(new URL('../../../models/src/fixtures/parity/', import.meta.url));

/** A tokenizer of the fixtures' 64 tokens, whose BOS and EOS config.json tells. */
const tokenizer = {
  version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Whitespace' },
  post_processor: null, decoder: null,
  model: {
    type: 'WordLevel', vocab: Object.fromEntries(['a', 'cab', ...Array.from({ length: 62 }, (_, i) => `w${i}`)].map((word, i) => [word, i])),
    unk_token: 'w0',
  },
};

/** A tiny checkpoint that @mixsga/models is held to transformers by. */
async function fixture(name: string, options: { attention: string; weights?: WeightType }): Promise<Pretrained> {
  const names = (await readdir(fixtures + name)).filter((file) => /^(config\.json|model.*)$/.test(file));
  const files = await Promise.all(names.map(async (file) => ({ name: file, blob: new Blob([await readFile(`${fixtures}${name}/${file}`)]) })));
  return fromPretrained([...files, { name: 'tokenizer.json', blob: new Blob([JSON.stringify(tokenizer)]) }], options);
}

function subjectOf(pretrained: Pretrained) {
  const model: LanguageModel = languageModel(pretrained);
  return { model, vocabularySize: pretrained.decoder.vocabularySize, dispose: () => pretrained.decoder.dispose() };
}

const on = async (backend: 'wasm' | 'cpu', open: () => Promise<Pretrained>) => {
  await startBackend(backend);
  return subjectOf(await open());
};

describeLanguageModel('sotu-mini with mixsga:3:1:6', () =>
  on('wasm', () => fromPretrained('sotu-mini', { attention: 'mixsga:3:1:6', routerSeed: 1 })));

for (const [name, ...attentions] of [
  ['opt', 'mha', 'cla:2', 'mixsga:1:1', 'mixsga:1:0/2:3'],
  ['llama', 'gqa:2', 'mixsga:3:1:6'],
  ['gemma2', 'cla:3', 'mixsga-root:3:1:6'],
] as const) {
  for (const attention of attentions) {
    describeLanguageModel(`${name} with ${attention}`, () => on('wasm', () => fixture(name, { attention })));
  }
}

// Decoding multiplies by means of weights that are rounded to bf16, likelihoods by weights that are rounded, before the mean.
describeLanguageModel('llama with bf16 weights', () => on('wasm', () => fixture('llama', { attention: 'mixsga:3:1:6', weights: 'bf16' })), 0.01);
describeLanguageModel('gemma2 on cpu', () => on('cpu', () => fixture('gemma2', { attention: 'mixsga:3:1:6' })));

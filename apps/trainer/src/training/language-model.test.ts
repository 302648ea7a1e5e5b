import { startBackend } from '@mixsga/backend';
import { describeLikelihoodModel } from '@mixsga/evaluators/testing';
import { createTrainable, parseModelConfig, randomParameters } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

import { languageModel } from './model';

const VOCABULARY = 48;
const LENGTH = 16;

const variants: { attention: string; router?: string }[] = [
  { attention: 'mha' },
  { attention: 'gqa:2' },
  { attention: 'cla:2' },
  { attention: 'mixsga:3:1:6' },
  { attention: 'mixsga:3:1:6', router: 'random' },
];

async function create(mixsga: { attention: string; router?: string }) {
  await startBackend('wasm');
  const config = parseModelConfig(
    {
      model_type: 'opt',
      vocab_size: VOCABULARY,
      hidden_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 8,
      ffn_dim: 64,
      max_position_embeddings: LENGTH,
      init_std: 0.3,
      ...(mixsga.attention === 'mha' ? {} : { mixsga }),
    },
    'test',
  );
  const model = await createTrainable(config, randomParameters(config, 7));
  return { model: languageModel(model), vocabularySize: VOCABULARY, dispose: () => model.dispose() };
}

for (const mixsga of variants) describeLikelihoodModel(`OPT with ${Object.values(mixsga).join(', ')}`, () => create(mixsga));

describe('streamNll', () => {
  const inputs = Int32Array.from({ length: 3 * LENGTH }, (_, i) => (i * i * 5 + i) % VOCABULARY);
  const targets = inputs.map((token) => (token * 7 + 1) % VOCABULARY);

  it.each(variants)(
    'is the likelihood under decode routing where nothing is evicted (%j)',
    async (mixsga) => {
      const { model, dispose } = await create(mixsga);
      const before = tf.memory().numTensors;
      const streamed = await model.streamNll(inputs, targets, { windows: 3, eviction: 'none' });
      const { nll: expected } = await model.likelihood(inputs, targets, { windows: 3, routing: 'decode' });
      expect(tf.memory().numTensors).toBe(before);
      streamed.forEach((nll, i) => expect(Math.abs(nll - expected[i]!)).toBeLessThan(1e-4 * (1 + expected[i]!)));

      // A policy that keeps 8 of 16 tokens changes nothing before the 9th is in, and something after.
      const evicted = await model.streamNll(inputs, targets, { windows: 3, eviction: 'h2o:0.5' });
      const differs = [...evicted].map((nll, i) => Math.abs(nll - streamed[i]!) > 1e-3);
      const from = (first: number, end: number) => differs.filter((_, i) => i % LENGTH >= first && i % LENGTH < end);
      expect(from(0, 8)).not.toContain(true);
      expect(from(9, LENGTH)).toContain(true);
      dispose();
    },
  );

  it('stops when aborted', async () => {
    const { model, dispose } = await create({ attention: 'mha' });
    const streamed = model.streamNll(inputs, targets, { windows: 3, eviction: 'none', signal: AbortSignal.abort(new Error('enough')) });
    await expect(streamed).rejects.toThrow('enough');
    dispose();
  });
});

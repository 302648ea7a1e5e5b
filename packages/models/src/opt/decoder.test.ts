import { startBackend, trackTensors } from '@mixsga/backend';
import type { BackendName } from '@mixsga/backend';
import { describeBackends } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseOptConfig } from '../config/opt';
import { OptDecoder } from './decoder';
import { OptModel } from './model';
import { randomParameters } from './parameters';
import { parseAttention } from '../attention/index';

const VOCABULARY = 50;

function configOf(attention: string, router?: string) {
  return parseOptConfig(
    {
      model_type: 'opt', vocab_size: VOCABULARY, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 8, ffn_dim: 48,
      max_position_embeddings: 80, init_std: 0.3,
      ...(attention === 'mha' ? {} : { mixsga: { attention, ...(router ? { router } : {}) } }),
    },
    'test',
  );
}

function tokensOf(count: number, seed: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * i * 7 + i * 3 + seed * 11) % VOCABULARY);
}

/** ‖a − b‖ / ‖b‖ */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

const variants: readonly (readonly [string, string?])[] = [
  ['mha'], ['gqa:2'], ['gqa:8'], ['cla:2'], ['mixsga:3:1:6'], ['mixsga-root:3:1:6'], ['mixsga:1:1@2,4'], ['mixsga:3:1:6', 'random'],
];

const backends = (await describeBackends()).filter(({ available }) => available);

describe.each(backends.map(({ name }) => name))('on %s', (backend: BackendName) => {
  it.each(variants)('decodes %s %s step by step like one pass with the same experts', async (attention, router) => {
    await startBackend(backend);
    const config = configOf(attention, router);
    const values = randomParameters(config, parseAttention(attention), 5);
    const decoder = OptDecoder.create(config, values);
    const tokens = tokensOf(70, 1);
    const prompt = 37;
    const cache = decoder.createCache();
    await decoder.prefill(tokens.subarray(0, prompt), cache, { want: 'argMax' });
    let stepped: Float32Array | null = null;
    for (let t = prompt; t < tokens.length; t++) {
      const { values: logits } = await decoder.step(tokens.subarray(t, t + 1), [cache], { want: 'values' });
      stepped = logits!.slice();
    }
    const whole = decoder.createCache();
    const { values: logits } = await decoder.prefill(tokens, whole, { prompt, want: 'values' });
    expect(distance(stepped!, logits!)).toBeLessThan(1e-4);
    for (let layer = 0; layer < (attention === 'cla:2' ? 1 : 2); layer++) {
      for (let t = 0; t < tokens.length; t++) expect(cache.expertOf(layer, t)).toBe(whole.expertOf(layer, t));
    }
    decoder.dispose();
  });

  it('agrees with the model that trains, under both routings', async () => {
    await startBackend(backend);
    const config = configOf('mixsga:3:1:6');
    const values = randomParameters(config, parseAttention('mixsga:3:1:6'), 5);
    const model = new OptModel(config, values);
    const decoder = OptDecoder.create(config, values);
    const tokens = tokensOf(40, 2);
    for (const [routing, prompt] of [['prefill', 40], ['decode', 0]] as const) {
      const { values: logits } = await decoder.prefill(tokens, decoder.createCache(), { prompt, want: 'values' });
      const expected = tf.tidy(() => tf.slice(model.logits(tf.tensor2d(tokens, [1, 40], 'int32'), { routing }), [0, 39, 0], [1, 1, VOCABULARY]));
      expect(distance(logits!, await expected.data())).toBeLessThan(1e-4);
      expected.dispose();
    }
    decoder.dispose();
    model.dispose();
  });
});

import { SeededRandom, startBackend } from '@mixsga/backend';
import { createTrainable } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { biasesFor, fillUniform, type RandomModel, randomModels } from './random-model';

const SHAPE = { layers: 3, hiddenSize: 64, heads: 4, ffnSize: 128, vocabularySize: 500 };

beforeAll(() => startBackend('wasm'));

describe('fillUniform', () => {
  it('has the asked deviation and mean 0, and repeats for a seed', () => {
    const [a, b] = [new Float32Array(10_000), new Float32Array(10_000)];
    fillUniform(a, 0.5, new SeededRandom(3));
    fillUniform(b, 0.5, new SeededRandom(3));
    expect(a).toEqual(b);
    const mean = a.reduce((sum, x) => sum + x, 0) / a.length;
    const variance = a.reduce((sum, x) => sum + x * x, 0) / a.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.sqrt(variance)).toBeCloseTo(0.5, 2);
    expect(new Set(a).size).toBeGreaterThan(9_990);
  });
});

describe('biasesFor', () => {
  it('finds the shares of an unequal router', () => {
    const random = new SeededRandom(5);
    const logits = Float32Array.from({ length: 3 * 1000 }, (_, i) => random.normal() + [3, 0, -1][i % 3]!);
    const biases = biasesFor([0.3, 0.1, 0.6], logits.map((z) => 1 / (1 + Math.exp(-z))));
    const counts = [0, 0, 0];
    for (let t = 0; t < 1000; t++) {
      const z = [0, 1, 2].map((e) => logits[t * 3 + e]! + biases[e]!);
      counts[z.indexOf(Math.max(...z))]! += 1;
    }
    [300, 100, 600].forEach((count, e) => expect(Math.abs(counts[e]! - count)).toBeLessThanOrEqual(5));
  });
});

describe('randomModels', () => {
  it('shares its weights, and routes tokens that its routers have not seen at 3:1:6 in every layer', async () => {
    const [mha, gqa, mixsga] = (await randomModels(SHAPE, ['mha', 'gqa:2', 'mixsga:3:1:6'], 80)) as [RandomModel, RandomModel, RandomModel];
    const key = 'model.decoder.layers.1.self_attn.k_proj.weight';
    expect(mixsga.values.get(key)).toBe(mha.values.get(key));
    expect(gqa.values.get(key)).toHaveLength(mha.values.get(key)!.length / 2);
    const model = await createTrainable(mixsga.config, mixsga.values);
    const random = new SeededRandom(77);
    const ids = tf.tensor2d(Int32Array.from({ length: 1600 }, () => random.nextInt(500)), [20, 80]);
    const routed = tf.tidy(() => model.routingOf(ids, { routing: 'decode' }).map(({ decode }) => decode.dataSync<'int32'>()));
    expect(routed).toHaveLength(3);
    for (const experts of routed) {
      [0.3, 0.1, 0.6].forEach((ratio, e) => {
        expect(Math.abs(experts.filter((expert) => expert === e).length / 1600 - ratio)).toBeLessThan(0.06);
      });
    }
    model.dispose();
    ids.dispose();
  });
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgumentError, startBackend, trackTensors } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, readCheckpoint, saveModel } from '../checkpoints/checkpoint';
import { convertConfig, convertedSource, convertModel } from '../checkpoints/convert';
import { convertCheckpoint } from '../checkpoints/convert-checkpoint';
import { sourceOf } from '../decoder/weight-loader';
import { createDecoder } from '../decoder/create-decoder';
import { parseModelConfig } from '../families/index';
import { storedParameters } from '../checkpoints/stored-parameters';
import { distance, inOnePass } from '../testing/decoding';
import { tinyConfig, tinyForms, tinyTokens, tinyValues } from '../testing/tiny-models';
import { createTrainable } from '../training/model';

const published = tinyConfig('opt');
const values = tinyValues(published, 5);
const BASIS = 'model.decoder.layers.2.self_attn.kv_basis.weight';
let folder: string;

beforeAll(async () => {
  await startBackend('wasm');
  folder = await mkdtemp(join(tmpdir(), 'mixsga-constants-'));
});
afterAll(() => rm(folder, { recursive: true }));

const inputsOf = (...shape: number[]) => ({
  inputs: tf.tensor2d(tinyTokens(20, 1), shape as [number, number], 'int32'), targets: tf.tensor2d(tinyTokens(20, 2), shape as [number, number], 'int32'),
});

describe('constants of layers', () => {
  it('come from the weights on conversion, in memory, while they are read, and from folder to folder', async () => {
    const { config, values: converted } = convertModel(published, values, 'latent:1:1@4,8');
    expect(storedParameters(config).filter(({ name }) => name.includes('layers.2.self_attn.kv_basis')).map(({ name, shape }) => [name.split('.').at(-1), shape])).toEqual([
      ['weight', [64, 16]], ['bias', [64]], ['scale', [64]],
    ]);
    const bias = converted.get('model.decoder.layers.2.self_attn.kv_basis.bias')!;
    expect(bias.subarray(0, 32)).toEqual(values.get('model.decoder.layers.2.self_attn.k_proj.bias'));
    const source = convertedSource(published, sourceOf(values), 'latent:1:1@4,8');
    expect(await source.read(BASIS)).toEqual(converted.get(BASIS));

    const model = await createTrainable(published, values);
    await saveModel(model, join(folder, 'mha'));
    model.dispose();
    await convertCheckpoint(join(folder, 'mha'), join(folder, 'latent'), { attention: 'latent:1:1@4,8' });
    const read = await readCheckpoint(join(folder, 'latent'));
    expect(read.config.mixsga?.attention).toBe('latent:1:1@4,8');
    expect(read.values.get(BASIS)).toEqual(converted.get(BASIS));
    expect(read.values.get('model.decoder.layers.2.self_attn.k_proj.weight')).toEqual(values.get('model.decoder.layers.2.self_attn.k_proj.weight'));
  });

  it('are saved with a model as they were, and are not trained', async () => {
    const before = await loadModel(join(folder, 'latent'));
    const batch = inputsOf(2, 10);
    const { grads } = tf.variableGrads(() => before.loss(batch, { alpha: 1 }).total);
    expect(before.parameters().get(BASIS)!.trainable).toBe(false);
    expect(Object.keys(grads)).not.toContain(before.parameters().get(BASIS)!.name);
    const projection = before.parameters().get('model.decoder.layers.2.self_attn.k_proj.weight')!;
    expect(tf.norm(grads[projection.name]!).dataSync()[0]).toBeGreaterThan(1e-4);
    await saveModel(before, join(folder, 'again'));
    const [a, b] = [await readCheckpoint(join(folder, 'latent')), await readCheckpoint(join(folder, 'again'))];
    expect([...b.values.keys()].sort()).toEqual([...a.values.keys()].sort());
    for (const [name, array] of a.values) expect(b.values.get(name), name).toEqual(array);
    before.dispose();
  });

  it('give a decoder of a checkpoint what one of the conversion has', async () => {
    const { config, values: converted } = convertModel(published, values, 'latent:1@4');
    const [a, b] = [
      await createDecoder(config, converted), await createDecoder(convertConfig(published, 'latent:1@4'), convertedSource(published, sourceOf(values), 'latent:1@4')),
    ];
    expect(distance(await inOnePass(a, tinyTokens(20, 1), 20), await inOnePass(b, tinyTokens(20, 1), 20))).toBe(0);
    expect(a.fingerprint).toBe(b.fingerprint);
    a.dispose();
    b.dispose();
  });

  it.each([
    ['is missing', () => null, `expected a parameter ${BASIS}, and there is none`],
    ['has another size', (basis: Float32Array) => basis.subarray(1), `${BASIS}: expected shape [64, 16], got 1023 values; do config.json and weights belong together?`],
    ['is not finite', (basis: Float32Array) => basis.with(7, NaN), `${BASIS}: expected finite weights, got NaN at index 7 of 1024`],
    ['is not orthonormal', (basis: Float32Array) => basis.fill(0.5, 0, 64), 'latent basis: expected orthonormal columns, got a product of'],
  ])('are refused where one %s, and leave nothing behind', async (_, damage, message) => {
    const { config, values: converted } = convertModel(published, values, 'latent:1@4');
    const damaged = damage(converted.get(BASIS)!.slice());
    converted.delete(BASIS);
    if (damaged) converted.set(BASIS, damaged);
    const { tensors } = await trackTensors(async () => {
      await expect(createDecoder(config, converted)).rejects.toThrow(message);
      await expect(createTrainable(config, converted)).rejects.toThrow(message);
    });
    expect(tensors).toBe(0);
  });

  it('have no place where keys turn, or heads are to be aligned', () => {
    const llama = tinyConfig('llama');
    expect(() => convertConfig(llama, 'latent:1@4')).toThrow('latent: expected a model whose positions are learned, such as opt, got one whose keys are turned by their positions (rotary)');
    expect(() => parseModelConfig({ ...tinyForms.gemma2, mixsga: { attention: 'latent:1@4' } }, 'c.json')).toThrow('c.json: mixsga.attention: latent: expected a model');
    expect(() => convertConfig(published, 'latent:1@4', { align: true })).toThrow('for whose experts there is nothing to align; leave it out');
    expect(() => convertModel(published, values, 'gqa:k4v2', { align: true })).toThrow(ArgumentError);
  });
});

// Checkpoints of models whose routers store other things than the paper's, or nothing; and hostile ones.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgumentError, FileError, startBackend, trackTensors } from '@mixsga/backend';
import type { RouterKind } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadModel, saveModel } from './checkpoint';
import { parseModelConfig } from '../families/index';
import { storedParameters } from './stored-parameters';
import { decodeSafetensors, encodeSafetensors, fromFloat32 } from '../io/safetensors';
import { tinyConfig, tinyTokens, tinyValues } from '../testing/tiny-models';
import { createTrainable, type TrainableModel } from '../training/model';

const LAYERS = 4;
const STORED: readonly (readonly [RouterKind, Readonly<Record<string, number[]>>])[] = [
  ['sigmoid', { weight: [3, 32], bias: [3] }],
  ['balanced', { weight: [3, 32], bias: [3] }],
  ['distortion', { energy: [2], bias: [3] }],
  ['random', {}],
];

let folder: string;
beforeAll(async () => void (await startBackend('wasm')));
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-router-'))));
afterEach(() => rm(folder, { recursive: true }));

const configOf = (router: RouterKind) => tinyConfig('opt', 'mixsga:3:1:6', router);
const nameOf = (layer: number, name: string) => `model.decoder.layers.${layer}.self_attn.router.${name}`;

/** A saved model whose routers have been balanced on some tokens, where they can be. */
async function saved(router: RouterKind): Promise<TrainableModel> {
  const config = configOf(router);
  const model = await createTrainable(config, tinyValues(config, 5));
  const inputs = tf.tensor2d(tinyTokens(60, 3), [3, 20], 'int32');
  const scores = model.balanceScores({ inputs });
  if (scores.length > 0) await model.balance([{ scores }], 0.7);
  tf.dispose([inputs, ...scores]);
  await saveModel(model, folder);
  return model;
}

describe.each(STORED)('a model with %s routers', (router, shapes) => {
  it('stores what they store, and comes back with it', async () => {
    const stored = storedParameters(configOf(router)).filter(({ name }) => name.includes('.router.'));
    const expected = Array.from({ length: LAYERS }, (_, layer) => Object.entries(shapes).map(([name, shape]) => ({ name: nameOf(layer, name), shape })));
    expect(stored).toEqual(expected.flat());

    const model = await saved(router);
    const tensors = decodeSafetensors(await readFile(join(folder, 'model.safetensors')), 'model.safetensors');
    expect([...tensors.keys()].filter((name) => name.includes('.router.')).sort()).toEqual(stored.map(({ name }) => name).sort());
    const loaded = await loadModel(folder);
    for (const [name, variable] of model.parameters()) {
      const again = loaded.parameters().get(name)!;
      expect(again.trainable).toBe(variable.trainable);
      expect(Array.from(again.dataSync())).toEqual(Array.from(variable.dataSync()));
    }
    for (const each of [model, loaded]) each.dispose();
  });
});

describe('a checkpoint of others', () => {
  /** Writes the saved weights anew, changed. */
  async function rewritten(change: (tensors: Map<string, { data: Uint8Array; dtype: string; shape: readonly number[] }>) => void): Promise<void> {
    const path = join(folder, 'model.safetensors');
    const tensors = decodeSafetensors(await readFile(path), path) as never;
    change(tensors);
    await writeFile(path, encodeSafetensors(tensors));
  }

  const numbers = (values: number[], shape: number[]) => fromFloat32(Float32Array.from(values), shape, 'F32') as never;

  it.each<[RouterKind, string, Parameters<typeof rewritten>[0], string]>([
    ['balanced', 'without a bias', (tensors) => tensors.delete(nameOf(2, 'bias')), `expected a tensor ${nameOf(2, 'bias')} of shape [3], and there is none`],
    ['distortion', 'without energies', (tensors) => tensors.delete(nameOf(0, 'energy')), `expected a tensor ${nameOf(0, 'energy')} of shape [2], and there is none`],
    ['balanced', 'with a bias of another shape', (tensors) => tensors.set(nameOf(1, 'bias'), numbers([1, 2], [2])), `${nameOf(1, 'bias')}: expected shape [3], got [2]`],
    ['distortion', 'with one energy too many', (tensors) => tensors.set(nameOf(3, 'energy'), numbers([1, 2, 3], [3])), `${nameOf(3, 'energy')}: expected shape [2], got [3]`],
    ['balanced', 'with a buffer that is none', (tensors) => tensors.set(nameOf(1, 'energy'), numbers([1, 2], [2])), `tensor ${nameOf(1, 'energy')} belongs to no parameter of this configuration`],
    ['random', 'with a weight', (tensors) => tensors.set(nameOf(0, 'weight'), numbers(new Array<number>(96).fill(0), [3, 32])), `tensor ${nameOf(0, 'weight')} belongs to no parameter of this configuration`],
    ['balanced', 'with a name of the language', (tensors) => tensors.set(nameOf(0, '__proto__'), numbers([1], [1])), `tensor ${nameOf(0, '__proto__')} belongs to no parameter of this configuration`],
  ])('%s %s is refused by name, and leaves nothing on the backend', async (router, _, change, message) => {
    (await saved(router)).dispose();
    await rewritten(change);
    const left = await trackTensors(async () => {
      const error: unknown = await loadModel(folder).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(FileError);
      expect((error as Error).message).toContain(message);
    });
    expect(left).toMatchObject({ tensors: 0, buffers: 0 });
  });

  it('with the routers of another kind, or of none, is refused', async () => {
    (await saved('balanced')).dispose();
    const path = join(folder, 'config.json');
    const json = JSON.parse(await readFile(path, 'utf8')) as { mixsga: { router: string } };
    await writeFile(path, JSON.stringify({ ...json, mixsga: { ...json.mixsga, router: 'distortion' } }));
    await expect(loadModel(folder)).rejects.toThrow(`expected a tensor ${nameOf(0, 'energy')} of shape [2], and there is none`);
    for (const router of ['balancd', '__proto__', 'constructor', 'toString']) {
      expect(() => parseModelConfig({ ...json, mixsga: { ...json.mixsga, router } }, 'config.json')).toThrow(FileError);
      expect(() => parseModelConfig({ ...json, mixsga: { ...json.mixsga, router } }, 'config.json')).toThrow(
        `config.json: mixsga.router: expected one of sigmoid, random, balanced, distortion, got ${JSON.stringify(router)}`,
      );
    }
  });

  it('given as values, with half of a router, is refused and leaves nothing', async () => {
    const config = configOf('balanced');
    for (const [name, size, message] of [['weight', 96, `expected a parameter ${nameOf(0, 'bias')}`], ['weight', 95, 'weight of 3 x 32 values, got 95']] as const) {
      const values = tinyValues(config, 5).set(nameOf(0, name), new Float32Array(size));
      if (size === 95) values.set(nameOf(0, 'bias'), new Float32Array(3));
      const left = await trackTensors(async () => {
        await expect(createTrainable(config, values)).rejects.toThrow(message);
        await expect(createTrainable(config, values)).rejects.toThrow(ArgumentError);
      });
      expect(left).toMatchObject({ tensors: 0, buffers: 0 });
    }
  });
});

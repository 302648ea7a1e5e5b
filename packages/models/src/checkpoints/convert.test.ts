import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readCheckpoint, saveModel } from './checkpoint';
import { parseOptConfig } from '../families/opt/config';
import { decodeSafetensors, encodeSafetensors } from '../io/safetensors';
import { convertModel } from './convert';
import { createTrainable, type TrainableModel } from '../training/model';
import { randomParameters } from '../training/random-parameters';

const config = parseOptConfig(
  {
    model_type: 'opt',
    vocab_size: 37,
    hidden_size: 32,
    num_hidden_layers: 4,
    num_attention_heads: 8,
    ffn_dim: 48,
    max_position_embeddings: 24,
    init_std: 0.2,
  },
  'test',
);
const values = randomParameters(config, 5);
const BATCH = 2;
const LENGTH = 20;
const random = new SeededRandom(3);
const tokens = Array.from({ length: BATCH * LENGTH }, () => random.nextInt(37));

const row = (): Tensor2D => tf.tensor2d(tokens, [BATCH, LENGTH], 'int32');

function converted(spec: string): Promise<TrainableModel> {
  const result = convertModel(config, values, spec, { routerSeed: 9 });
  return createTrainable(result.config, result.values);
}

async function logits(spec: string): Promise<Float32Array> {
  const model = await converted(spec);
  const result = tf.tidy(() => model.logits(row(), { routing: 'prefill' }).dataSync() as Float32Array);
  model.dispose();
  return result;
}

/** Σ(a − b)² / Σa² */
function nmse(a: Float32Array, b: Float32Array): number {
  expect(b).toHaveLength(a.length);
  const squares = (difference: (i: number) => number) => a.reduce((sum, _, i) => sum + difference(i) ** 2, 0);
  return squares((i) => a[i]! - b[i]!) / squares((i) => a[i]!);
}

beforeAll(() => startBackend('wasm'));

describe('conversion', () => {
  it('changes nothing when every token is routed to groups of one head', async () => {
    expect(nmse(await logits('mha'), await logits('mixsga:1:0:0'))).toBeLessThan(1e-10);
  });

  it('to mixSGA with groups of two everywhere is the same model as to GQA', async () => {
    expect(nmse(await logits('gqa:2'), await logits('mixsga:0:1:0'))).toBeLessThan(1e-10);
    expect(nmse(await logits('gqa:4'), await logits('mixsga:0:0:1'))).toBeLessThan(1e-10);
    expect(nmse(await logits('mha'), await logits('gqa:2'))).toBeGreaterThan(1e-3);
  });

  it('to ratios by layer groups each layer by its own', async () => {
    const [pairs, whole] = [convertModel(config, values, 'gqa:2').values, new Map(values)];
    for (const projection of ['k_proj.weight', 'k_proj.bias', 'v_proj.weight', 'v_proj.bias']) {
      const name = `model.decoder.layers.2.self_attn.${projection}`;
      const stored = pairs.get(name)!;
      const block = stored.length / 4; // a stored head, which two heads read
      whole.set(name, Float32Array.from(values.get(name)!, (_, i) => stored[Math.floor(i / block / 2) * block + (i % block)]!));
    }
    const model = await createTrainable(config, whole);
    const expected = tf.tidy(() => model.logits(row(), { routing: 'prefill' }).dataSync() as Float32Array);
    model.dispose();
    expect(nmse(expected, await logits('mixsga:1:0:0/1:0:0/0:1:0/1:0:0=0.875'))).toBeLessThan(1e-10);
    expect(nmse(expected, await logits('mixsga:1:0:0/0:1:0/1:0:0/1:0:0=0.875'))).toBeGreaterThan(1e-4);
  });

  it('aligns each layer for its own groups', () => {
    const aligned = convertModel(config, values, 'mixsga:1:0:0/0:1:0/0:0:1/1:0:0', { align: true }).values;
    const alike = (layer: number, spec: string) => {
      const name = `model.decoder.layers.${layer}.self_attn.q_proj.weight`;
      return nmse(convertModel(config, values, spec, { align: true }).values.get(name)!, aligned.get(name)!) < 1e-12;
    };
    expect(aligned.get('model.decoder.layers.0.self_attn.k_proj.weight')).toEqual(values.get('model.decoder.layers.0.self_attn.k_proj.weight'));
    expect([alike(1, 'mixsga:0:1:0'), alike(2, 'mixsga:0:0:1'), alike(2, 'mixsga:0:1:0')]).toEqual([true, true, false]);
  });

  it('to GQA takes the mean of each group of projections', () => {
    const name = 'model.decoder.layers.1.self_attn.v_proj.weight';
    const grouped = convertModel(config, values, 'gqa:4').values.get(name)!;
    const rows = 4 * 32; // a head
    const original = values.get(name)!;
    expect(grouped).toHaveLength(2 * rows);
    const mean = [4, 5, 6, 7].reduce((sum, head) => sum + original[head * rows + 70]!, 0) / 4;
    expect(grouped[rows + 70]).toBeCloseTo(mean, 6);
  });

  it('to CLA keeps the keys and values of the first layer of a pair, and no others', async () => {
    const { values: shared } = convertModel(config, values, 'cla:2');
    const key = (layer: number) => `model.decoder.layers.${layer}.self_attn.k_proj.weight`;
    expect(shared.get(key(2))).toEqual(values.get(key(2)));
    expect(shared.has(key(1)) || shared.has(key(3))).toBe(false);
    expect((await logits('cla:2')).every(Number.isFinite)).toBe(true);
  });

  it('leaves every weight of a mixSGA model as it was, and starts routers from the seed', async () => {
    const model = await converted('mixsga:3:1:6');
    const { values: kept } = convertModel(config, values, 'mixsga:3:1:6');
    for (const [name, array] of values) expect(kept.get(name)).toEqual(array);
    const again = await converted('mixsga:3:1:6');
    const router = 'model.decoder.layers.3.self_attn.router.weight';
    expect(model.parameters().get(router)!.shape).toEqual([3, 32]);
    expect(model.parameters().get(router)!.dataSync()).toEqual(again.parameters().get(router)!.dataSync());
    model.dispose();
    again.dispose();
  });

  it('refuses what is no MHA model, and a variant that does not fit', () => {
    const gqa = convertModel(config, values, 'gqa:2');
    expect(() => convertModel(gqa.config, gqa.values, 'mixsga:3:1:6')).toThrow(/expected a checkpoint with mha attention, got gqa:2/);
    expect(() => convertModel(config, values, 'mixsga:1:1@1,3')).toThrow(/3/);
    expect(() => convertModel(config, values, 'mixsga:3:1:6/3:1:6')).toThrow(/ratios for each of the 4 layers.*got 2 lists/);
  });
});

describe('checkpoints', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mixsga-opt-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('say which tensor is missing, of another shape, or unknown', async () => {
    const model = await converted('mha');
    await saveModel(model, folder, { dtype: 'F16' });
    model.dispose();
    const path = join(folder, 'model.safetensors');
    const tensors = decodeSafetensors(await readFile(path), path);
    const name = 'model.decoder.layers.0.fc1.bias';
    const entry = tensors.get(name)!;
    const rewrite = (change: () => void) => {
      change();
      return writeFile(path, encodeSafetensors(tensors));
    };
    await rewrite(() => tensors.delete(name));
    await expect(readCheckpoint(folder)).rejects.toThrow(`${path}: expected a tensor ${name} of shape [48], and there is none`);
    await rewrite(() => tensors.set(name, { ...entry, shape: [6, 8] }));
    await expect(readCheckpoint(folder)).rejects.toThrow(`${path}: ${name}: expected shape [48], got [6, 8]`);
    await rewrite(() => tensors.set(name, entry).set('model.decoder.project_in.weight', entry));
    await expect(readCheckpoint(folder)).rejects.toThrow(/project_in.weight belongs to no parameter/);
    await writeFile(path, (await readFile(path)).subarray(0, 5000));
    await expect(readCheckpoint(folder)).rejects.toThrow(path);
  });
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom, startBackend, trackTensors, useReferenceKernels } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAttention } from '../attention/index';
import { encodeModel, loadModel, readCheckpoint, saveModel } from '../checkpoint';
import { parseOptConfig } from '../config/opt';
import { decodeSafetensors, encodeSafetensors } from '../io/safetensors';
import { convertModel } from '../convert';
import { OptModel } from './model';
import { randomParameters } from './parameters';

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
const values = randomParameters(config, parseAttention('mha'), 5);
const BATCH = 2;
const LENGTH = 20;
const random = new SeededRandom(3);
const tokens = Array.from({ length: BATCH * LENGTH }, () => random.nextInt(37));
const targets = tokens.map((id) => (id * 5 + 1) % 37);

const row = (ids: number[]): Tensor2D => tf.tensor2d(ids, [BATCH, LENGTH], 'int32');

function converted(spec: string): OptModel {
  const result = convertModel(config, values, spec, { routerSeed: 9 });
  return new OptModel(result.config, result.values);
}

function logits(spec: string, routing: 'prefill' | 'decode', ids = tokens): Float32Array {
  const model = converted(spec);
  const result = tf.tidy(() => model.logits(row(ids), { routing }).dataSync() as Float32Array);
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
  it('changes nothing when every token is routed to groups of one head', () => {
    expect(nmse(logits('mha', 'prefill'), logits('mixsga:1:0:0', 'prefill'))).toBeLessThan(1e-10);
  });

  it('to mixSGA with groups of two everywhere is the same model as to GQA', () => {
    expect(nmse(logits('gqa:2', 'prefill'), logits('mixsga:0:1:0', 'prefill'))).toBeLessThan(1e-10);
    expect(nmse(logits('gqa:4', 'prefill'), logits('mixsga:0:0:1', 'prefill'))).toBeLessThan(1e-10);
    expect(nmse(logits('mha', 'prefill'), logits('gqa:2', 'prefill'))).toBeGreaterThan(1e-3);
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

  it('to CLA keeps the keys and values of the first layer of a pair, and no others', () => {
    const { values: shared } = convertModel(config, values, 'cla:2');
    const key = (layer: number) => `model.decoder.layers.${layer}.self_attn.k_proj.weight`;
    expect(shared.get(key(2))).toEqual(values.get(key(2)));
    expect(shared.has(key(1)) || shared.has(key(3))).toBe(false);
    expect(logits('cla:2', 'prefill').every(Number.isFinite)).toBe(true);
  });

  it('leaves every weight of a mixSGA model as it was, and starts routers from the seed', () => {
    const model = converted('mixsga:3:1:6');
    const { values: kept } = convertModel(config, values, 'mixsga:3:1:6');
    for (const [name, array] of values) expect(kept.get(name)).toEqual(array);
    const again = converted('mixsga:3:1:6');
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
  });
});

describe.each(['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6', 'mixsga-root:3:1:6'])('OPT with %s', (spec) => {
  it('has the loss and the gradients of the reference composition', () => {
    const model = converted(spec);
    const variables = [...model.parameters().values()];
    const gradients = () =>
      tf.variableGrads(() => model.loss({ inputs: row(tokens), targets: row(targets) }, { alpha: 0.5 }).total, variables);
    const fast = gradients();
    useReferenceKernels(true);
    const reference = gradients();
    useReferenceKernels(false);
    expect(fast.value.dataSync()[0]).toBeCloseTo(reference.value.dataSync()[0]!, 5);
    let squares = 0;
    let differences = 0;
    for (const { name } of variables) {
      const a = reference.grads[name]!.dataSync();
      const b = fast.grads[name]!.dataSync();
      a.forEach((value, i) => {
        squares += value ** 2;
        differences += (value - b[i]!) ** 2;
      });
    }
    expect(differences / squares).toBeLessThan(1e-8);
    tf.dispose([fast.value, reference.value, ...Object.values(fast.grads), ...Object.values(reference.grads)]);
    model.dispose();
  });

  it('sees no later token under decode routing', () => {
    const changed = tokens.map((id, i) => (i % LENGTH >= 12 ? (id + 11) % 37 : id));
    const a = logits(spec, 'decode');
    const b = logits(spec, 'decode', changed);
    const before = (array: Float32Array) => array.filter((_, i) => Math.floor(i / 37) % LENGTH < 12);
    expect(nmse(before(a), before(b))).toBeLessThan(1e-12);
    expect(nmse(a, b)).toBeGreaterThan(1e-4);
  });

  it('gives back every tensor', async () => {
    const { tensors, buffers } = await trackTensors(() => {
      const model = converted(spec);
      tf.tidy(() => {
        model.tokenNll(row(tokens), row(targets), { routing: 'decode' });
        model.routingOf(row(tokens), { routing: 'prefill' });
      });
      model.dispose();
    });
    expect([tensors, buffers]).toEqual([0, 0]);
  });
});

it('tells likelihoods that agree with its logits', () => {
  const model = converted('mixsga:3:1:6');
  const nll = tf.tidy(() => model.tokenNll(row(tokens), row(targets), { routing: 'decode' }).dataSync());
  const logProbabilities = tf.tidy(() => tf.logSoftmax(model.logits(row(tokens), { routing: 'decode' })).dataSync());
  nll.forEach((value, i) => expect(value).toBeCloseTo(-logProbabilities[i * 37 + targets[i]!]!, 4));
  model.dispose();
});

it('refuses a sequence longer than its positions', () => {
  const model = converted('mha');
  expect(() => model.logits(tf.zeros([1, 25], 'int32'), { routing: 'decode' })).toThrow(/at most 24 tokens a sequence, got 25/);
  model.dispose();
});

describe('checkpoints', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mixsga-opt-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('come back as the same model, routers included', async () => {
    const model = converted('mixsga:3:1:6');
    await saveModel(model, folder);
    const loaded = await loadModel(folder);
    const both = [model, loaded].map((m) => tf.tidy(() => m.logits(row(tokens), { routing: 'prefill' }).dataSync()));
    expect(both[1]).toEqual(both[0]);
    model.dispose();
    loaded.dispose();
  });

  it('say which tensor is missing, of another shape, or unknown', async () => {
    const model = converted('mha');
    await saveModel(model, folder, 'F16');
    const path = join(folder, 'model.safetensors');
    const tensors = decodeSafetensors(await encodeModel(model), path);
    model.dispose();
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

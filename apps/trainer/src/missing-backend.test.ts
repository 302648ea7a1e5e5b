import * as backend from '@mixsga/backend';
import { convertCheckpoint, createDecoder, createTrainable, fromPretrained, loadModel, parseModelConfig, trainableOf } from '@mixsga/models';
import { createRouter, routers } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const any = undefined as never;
const config = parseModelConfig({
  model_type: 'opt', vocab_size: 8, hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 2, ffn_dim: 4, max_position_embeddings: 8,
  word_embed_proj_dim: 4, do_layer_norm_before: true,
}, 'config.json');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'mixsga-missing-backend-'));
const [options, head] = [{ hiddenSize: 4, ratios: [0.5, 0.5], seed: 1, layer: 0 }, { batch: 1, heads: 1, kvHeads: 1 }];
const adamw = { learningRate: 1, beta1: 0.9, beta2: 0.9, epsilon: 1, weightDecay: 0, step: 1, gradientScale: 1 };

let x: tf.Tensor2D;
let row: tf.Tensor1D;
let ids: tf.Tensor1D;
let scores: tf.Tensor3D;
let variable: tf.Variable<tf.Rank.R2>;

beforeAll(async () => {
  // There are no tensors before there is a backend: these are from one that is gone.
  await backend.startBackend('cpu');
  [x, row, ids, scores] = [tf.ones([2, 2]), tf.ones([2]), tf.zeros([2], 'int32'), tf.ones([1, 2, 2])];
  variable = tf.variable(x);
  tf.removeBackend('cpu');
});
afterAll(() => rmSync(scratch, { recursive: true }));

const entries: Readonly<Record<string, () => unknown>> = {
  createRuntime: () => backend.createRuntime(),
  streamingBandwidth: () => backend.streamingBandwidth(),
  trackTensors: () => backend.trackTensors(() => 1),
  adamwStep: () => backend.adamwStep(variable, x, variable, variable, adamw),
  sumOfSquares: () => backend.sumOfSquares([]),
  causalAttention: () => backend.causalAttention(x, x, x, head),
  embedding: () => backend.embedding(x, ids),
  gatedActivation: () => backend.gatedActivation(x, x, 'silu'),
  expertChoice: () => backend.expertChoice(scores, [0.5, 0.5]),
  groupMean: () => backend.groupMean(x, ids, { headDim: 1, groupSizes: [1] }),
  layerNorm: () => backend.layerNorm(x, row, row, 1e-5),
  linear: () => backend.linear(x, x, null),
  linearCrossEntropy: () => backend.linearCrossEntropy(x, x, ids),
  tokenNll: () => backend.tokenNll(x, x, ids),
  linearDistillation: () => backend.linearDistillation({ x, w: x }, { x, w: x }, ids, 0.5),
  rmsNorm: () => backend.rmsNorm(x, row, 1e-5),
  rotate: () => backend.rotate(x, x),
  createRouter: () => createRouter('sigmoid', options),
  fromPretrained: () => fromPretrained('no/such-model'),
  createDecoder: () => createDecoder(config, new Map()),
  createTrainable: () => createTrainable(config, new Map()),
  loadModel: () => loadModel('no/such-model'),
  trainableOf: () => trainableOf(any),
};

describe('without a backend', () => {
  test.each(Object.keys(entries))('%s says how to start one', async (name) => {
    const failure = await Promise.resolve().then(entries[name]).then(() => null, (error: unknown) => error);
    expect(backend.BackendError.isInstance(failure)).toBe(true);
    const { message } = failure as Error;
    expect(message).toContain(`${name}: expected `);
    expect(message).toMatch(/; call (await )?startBackend\('wasm'\)[^\n]* first/);
  });

  test.each(Object.keys(routers) as (keyof typeof routers)[])('no router %s is made', (kind) => {
    expect(() => routers[kind](options)).toThrow(/^createRouter: expected a started backend, got none; call await startBackend\('wasm'\)/);
  });

  test('no routers are drawn for a conversion', async () => {
    const converting = convertCheckpoint('sotu-mini', scratch, { attention: 'mixsga:3:1:6' });
    await expect(converting).rejects.toThrow(/^createRouter: expected a started backend, got none; call await startBackend\('wasm'\)/);
  });

  test('that of a pending start is not there yet', async () => {
    const starting = backend.startBackend('wasm');
    expect(() => backend.createRuntime()).toThrow(/^createRuntime: expected a started backend, got none/);
    await starting;
    expect(backend.createRuntime().path).toBe('fused');
  });
});
